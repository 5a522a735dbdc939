"""Names of cases, the same rule for every reader."""

from __future__ import annotations

import hashlib
import re


def case_id(instrument: str, name: str) -> str:
    """``<instrument>-<name>`` in letters, digits, ``.-_``; what had to be changed is told apart by a hash."""
    wanted = f"{instrument}-{name}"
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", wanted).lstrip(".-") or "case"
    return safe if safe == wanted else f"{safe}-{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"
