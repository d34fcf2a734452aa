"""Logging in by SASL: PLAIN, and SCRAM (RFC 5802), in which both sides prove that they know the password."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable

from fraudstream.errors import FraudstreamError
from fraudstream.wire.client import Client

Exchange = Callable[[bytes], bytes]
_MAX_ITERATIONS = 1_000_000


def log_in(client: Client, exchange: Exchange) -> None:
    """Log in with `exchange`, which sends a message and returns the broker's answer. Raises FraudstreamError if the
    broker does not know the password itself."""
    if client.mechanism == "PLAIN":
        exchange(b"\x00".join([b"", client.username.encode(), client.password.encode()]))
        return
    nonce = secrets.token_urlsafe(24)
    name = client.username.replace("=", "=3D").replace(",", "=2C")
    first = f"n={name},r={nonce}"
    challenge = exchange(f"n,,{first}".encode()).decode()
    proof, expected = _scram(client, first, nonce, challenge)
    answer = _fields(exchange(proof.encode()).decode())
    if not hmac.compare_digest(base64.b64decode(answer.get("v", "")), expected):
        raise FraudstreamError("the broker does not know the password that it asks for; its certificate says who it is")


def _scram(client: Client, first: str, nonce: str, challenge: str) -> tuple[str, bytes]:
    """The proof to send, and the signature that the broker must answer with."""
    digest = "sha256" if client.mechanism.endswith("256") else "sha512"
    asked = _fields(challenge)
    rounds = int(asked.get("i", "0"))
    if not asked.get("r", "").startswith(nonce) or not 4096 <= rounds <= _MAX_ITERATIONS:
        raise FraudstreamError("the broker's challenge (SCRAM) is none that can be answered safely")
    salted = hashlib.pbkdf2_hmac(digest, client.password.encode(), base64.b64decode(asked["s"]), rounds)
    client_key = hmac.digest(salted, b"Client Key", digest)
    final = f"c=biws,r={asked['r']}"
    signed = f"{first},{challenge},{final}".encode()
    signature = hmac.digest(hashlib.new(digest, client_key).digest(), signed, digest)
    proof = bytes(left ^ right for left, right in zip(client_key, signature, strict=True))
    expected = hmac.digest(hmac.digest(salted, b"Server Key", digest), signed, digest)
    return f"{final},p={base64.b64encode(proof).decode()}", expected


def _fields(message: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in message.split(",") if "=" in part)
