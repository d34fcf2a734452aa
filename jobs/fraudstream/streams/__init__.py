"""The streaming queries: one per rule, one for the mirror, one for the archive of alerts."""
