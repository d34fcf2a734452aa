"""The canary: a user of our own, whose rows prove that alerts arrive and count in no statistic."""

from __future__ import annotations

USER = -1
NOT_CANARY = f"(user_id IS NULL OR user_id <> {USER})"
"""What a query says that leaves the canary's rows out."""
