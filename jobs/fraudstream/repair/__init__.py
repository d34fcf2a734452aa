"""The repair: each finding of the audit closed by its own means, and recorded in lake/repairs."""
