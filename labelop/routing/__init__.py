"""Where each level of a dataset may and should be prelabelled, and why every other option was refused."""
