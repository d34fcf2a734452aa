"""The streaming queries: one per rule, unless rules share one, one for the mirror, one for the archive of alerts."""
