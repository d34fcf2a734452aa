"""Fraud detection on the change stream of a PostgreSQL database."""
