"""The benchmark: systems that find the same alerts in the same topics, how fast, and at what price."""
