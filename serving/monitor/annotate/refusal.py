"""What is answered instead of what was asked, with its HTTP status."""

from __future__ import annotations

from parfocal.core.errors import ParfocalError


class Refusal(ParfocalError):  # noqa: N818  it is no fault: most are said to a person who works too slowly
    """An answer that is not 200.

    Attributes:
        status: HTTP status.
    """

    def __init__(self, status: int, what: str, *, where: object = "", expected: str = "", next: str = "") -> None:
        super().__init__(what, where=where, expected=expected, next=next)
        self.status = status
