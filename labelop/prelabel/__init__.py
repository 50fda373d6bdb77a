"""Plan batches, run one batch, run a shard of them; done is what has landed."""
