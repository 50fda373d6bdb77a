"""Decide how sensitive each image is; unknown, stale and broken all mean restricted."""
