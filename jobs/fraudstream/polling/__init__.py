"""The rules on rows that are asked for again and again, instead of on the change stream."""
