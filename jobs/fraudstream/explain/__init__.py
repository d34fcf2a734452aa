"""Explaining an alert: what the rule saw, why it alerted, and whether the lake still gives the same."""
