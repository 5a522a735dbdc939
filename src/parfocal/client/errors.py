"""What a client raises: the house's errors, with what the service said."""

from __future__ import annotations

from typing import Any

from parfocal.core.errors import OutsideServiceError, ParfocalError, UsageError


class RefusedError(UsageError):
    """The service says that the request is wrong: sending it again would change nothing.

    Attributes:
        status: HTTP status, such as 400, 404, 413, 415 or 501.
    """

    def __init__(self, status: int, what: str, *, where: object = "", expected: str = "", next: str = "") -> None:
        super().__init__(what, where=where, expected=expected, next=next)
        self.status = status


def of(status: int, content: Any, url: str) -> ParfocalError:
    """The error of an answer that is not 200.

    Args:
        content: the answer's JSON, or None where it is none, as of a proxy in between.
    """
    parts = content.get("error") if isinstance(content, dict) else None
    told = parts if isinstance(parts, dict) else {}
    what = str(told.get("what") or f"HTTP {status} without a reason")
    rest = {name: str(told.get(name, "")) for name in ("where", "expected", "next")}
    if (status < 500 and status != 429) or status == 501:
        return RefusedError(status, what, where=rest["where"] or url, expected=rest["expected"], next=rest["next"])
    return OutsideServiceError(f"{what} ({status})", where=url, expected=rest["expected"], next=rest["next"])
