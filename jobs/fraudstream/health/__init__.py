"""Is the pipeline well: facts, findings, metrics, the canary, supervision."""
