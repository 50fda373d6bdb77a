"""The report page: what a run found, what it cost, and how each number came about."""
