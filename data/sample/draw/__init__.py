"""Drawn sample data: every picture here is computed from a seed, so nobody else holds rights in it.

Only numpy and Pillow are used, and nothing of the product is imported: the data must stand on its own.
"""
