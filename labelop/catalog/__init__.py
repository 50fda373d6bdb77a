"""Model cards: what a model is, needs and may be used for, and proof that its files are the ones meant."""
