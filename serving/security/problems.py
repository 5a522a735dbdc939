"""Answers that say no, in the house's four parts of an error."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse


def problem(status: int, what: str, *, where: str = "", expected: str = "", next: str = "") -> JSONResponse:
    """An answer of what, where, expected, next."""
    content: dict[str, Any] = {"error": {"what": what, "where": where, "expected": expected, "next": next}}
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse(content, status, headers)
