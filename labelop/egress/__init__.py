"""The only way out of the premises: a gate that re-encodes what it lets through, and its audit log."""
