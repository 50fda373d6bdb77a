"""Bounded comparisons of arms on one sample, what they prove, and how much people can review.

Pure parts know numbers and names only; `register`, `results` and `prelabel` know tables.
"""
