"""Training of the sample's models: scripts that shipped weights come from.

Needs the `torch` and `dev` extras. Nothing of the product imports this folder.
"""
