"""What every answer tells a browser, errors too. An answer that says something else about one of these keeps it."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
HSTS = "max-age=31536000"
"""A year, for this name alone: other names of the host are none of our business."""
NOTHING = "default-src 'none'; frame-ancestors 'none'"
"""Policy of an answer that is no page."""
_BASE = "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    f"font-src 'self'; manifest-src 'self'; worker-src 'self'; {_BASE}"
)
"""Policy of a page: nothing inline, nothing from elsewhere."""
DOCUMENTATION = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    f"connect-src 'self'; font-src 'self' data:; {_BASE}"
)
"""Policy of BentoML's own page, which has its script inline; no session is ever known there."""


def complete(headers: MutableHeaders, *, page: str, tls: bool, request_id: str) -> None:
    """Add what is missing.

    Args:
        page: policy of HTML.
        tls: whether the answer goes over TLS.
        request_id: by which the audit log knows the request.
    """
    html = headers.get("content-type", "").startswith("text/html")
    wanted = {**ALWAYS, "Content-Security-Policy": page if html else NOTHING, "X-Request-ID": request_id}
    if tls:
        wanted["Strict-Transport-Security"] = HSTS
    for name, value in wanted.items():
        headers.setdefault(name, value)
