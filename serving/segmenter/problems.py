"""What went wrong with one request, as the caller is told: an HTTP status and the house's four parts of an error."""

from __future__ import annotations

from parfocal.core.errors import ParfocalError


class RequestError(ParfocalError):
    """A request that cannot be answered with masks.

    Args:
        status: HTTP status: 400 the content, 404 a case that is gone, 408 too slow, 413 its size, 415 its type, 429 too
            many at once, 501 nothing here answers clicks, 503 no model yet, 504 too late.
    """

    def __init__(self, status: int, what: str, *, where: object = "", expected: str = "", next: str = "") -> None:
        super().__init__(what, where=where, expected=expected, next=next)
        self.status = status


def body(error: ParfocalError) -> dict[str, dict[str, str]]:
    """The JSON of every answer that is not 200."""
    parts = {"what": error.what, "where": error.where, "expected": error.expected, "next": error.next}
    return {"error": parts}
