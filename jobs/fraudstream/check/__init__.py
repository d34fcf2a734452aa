"""The check of a run: an independent oracle, the comparison with it, and the report."""
