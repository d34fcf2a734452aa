"""Drills: real faults under load, and whether what was promised held."""
