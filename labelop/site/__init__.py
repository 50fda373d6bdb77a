"""A site that may be without a network for hours: what waits there, and how it is handed over afterwards."""
