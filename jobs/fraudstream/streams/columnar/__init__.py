"""A source of Spark's that reads, parses and packs a topic by itself, so that nothing behind it touches single rows."""
