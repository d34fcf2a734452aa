"""Trying a rule beside those that are live: what a shadow rule finds that they do not, and its promotion."""
