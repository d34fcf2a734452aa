"""The audit: what was committed, captured, mirrored, judged and archived, compared with each other."""
