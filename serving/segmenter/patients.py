"""A patient's key leaves this process only as an HMAC, so that one patient can be followed and none can be named."""

from __future__ import annotations

import hashlib
import secrets
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from parfocal.adapters.tokens import made_once
from parfocal.core.errors import DataContractError

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

SECRET = "patient.secret"  # noqa: S105  a file's name
"""File in the state folder, readable by its owner alone. Whoever loses it starts new pseudonyms."""


def pseudonym(secret: bytes, patient: str) -> str:
    """HMAC-SHA256 of a patient's key, in hex."""
    inner, outer = (half.copy() for half in _keyed(secret))
    inner.update(patient.encode())
    outer.update(inner.digest())
    return outer.hexdigest()


@cache
def _keyed(secret: bytes) -> tuple[Hash, Hash]:
    """The two hashes of RFC 2104 with the key already in them: a request waits, and copies of `hmac` take longer."""
    key = hashlib.sha256(secret).digest() if len(secret) > 64 else secret
    key = key.ljust(64, b"\0")
    return hashlib.sha256(bytes(byte ^ 0x36 for byte in key)), hashlib.sha256(bytes(byte ^ 0x5C for byte in key))


def load_secret(configured: str, state: Path) -> bytes:
    """The configured secret, or the one in the state folder, made on first use.

    Raises:
        DataContractError: the file is there and empty: someone's pseudonyms would silently change.
    """
    if configured:
        return configured.encode()
    file = state / SECRET
    secret = made_once(file, lambda: secrets.token_hex(32))
    if not secret:
        raise DataContractError("the patients' secret is empty", where=file, next="restore it, or remove the file")
    return secret
