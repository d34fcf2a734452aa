"""User ids masked by a keyed hash: HMAC-SHA256 of the id's decimal text, its first 63 bits as a positive number.

The key stays in its file: each process that masks reads it there, so that no plan, log or checkpoint has it.
"""

from __future__ import annotations

import hmac
import os
import re
import stat
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from fraudstream import canary
from fraudstream.errors import ConfigError, GuardError

Int64s = npt.NDArray[np.int64]
SETTING = "masking_key_file"
_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2}){32,512}")
_TOLD_BY = b"fraudstream: which key is this?"


@dataclass(frozen=True, slots=True)
class Mask:
    """Where the key is, and the fingerprint that tells it from others (8 hex digits; nothing of the key)."""

    key_file: str
    fingerprint: str


@cache
def mask_of(key_file: str) -> Mask | None:
    """The mask by the key in that file, None if no file is named. Raises ConfigError for a file that is not fit."""
    return Mask(key_file, _fingerprint(_read_key(key_file))) if key_file else None


def masked_id(user_id: int, mask: Mask) -> int:
    """The masked id; the canary, which is nobody, keeps its own."""
    if user_id == canary.USER:
        return user_id
    digest = hmac.digest(_key(mask), str(user_id).encode(), "sha256")
    return int.from_bytes(digest[:8], "big") >> 1


def masked_ids(ids: Int64s, mask: Mask) -> Int64s:
    """A column of masked ids, each distinct id computed once."""
    distinct, places = np.unique(ids, return_inverse=True)
    found: Int64s = np.array([masked_id(each, mask) for each in distinct.tolist()], dtype=np.int64)[places]
    return found


@cache
def _key(mask: Mask) -> bytes:
    key = _read_key(mask.key_file)
    if _fingerprint(key) != mask.fingerprint:
        raise GuardError(
            f"{SETTING}: {mask.key_file} has another key here than where the job was started. It must be the same "
            "file on every node, and not change while a job runs.",
            "checkpoint-mismatch",
        )
    return key


def _fingerprint(key: bytes) -> str:
    return hmac.digest(key, _TOLD_BY, "sha256").hex()[:8]


def _read_key(key_file: str) -> bytes:
    try:
        with open(os.open(key_file, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # a pipe without a writer would wait
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(2048).strip()
    except OSError as error:
        raise ConfigError(f"{SETTING}: {key_file} cannot be read ({error.strerror}).") from None
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(
            f"{SETTING}: others may use {key_file} (mode {stat.S_IMODE(mode):04o}); it must be its owner's alone: "
            f"chmod 600 {key_file}"
        )
    if not _HEX.fullmatch(text):
        raise ConfigError(
            f"{SETTING}: {key_file} must hold a key of at least 32 bytes as 64 or more hex digits and nothing else; "
            f"make one: (umask 077; openssl rand -hex 32 > {key_file})"
        )
    return bytes.fromhex(text.decode())
