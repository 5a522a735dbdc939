"""What has to be right before a service listens at all."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import uvicorn

from parfocal.adapters.settings import Settings, loopback
from parfocal.core.errors import UsageError


def demand_sound(settings: Settings, host: str) -> None:
    """Raise a UsageError where everybody would be let in from everywhere, or TLS is set by half."""
    if settings.open and not loopback(host):
        raise UsageError(
            f"an open service does not listen on {host}",
            where="PARFOCAL_OPEN",
            expected="127.0.0.1, ::1 or localhost",
            next="unset it, and make tokens: parfocal token add NAME --role segment",
        )
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise UsageError("a certificate without its key, or a key without it", expected="both PARFOCAL_TLS_* or none")


def at_least_tls_1_2(config: uvicorn.Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """A context that speaks TLS 1.2 and newer, whatever this system's OpenSSL would allow.

    Raises:
        UsageError: certificate or key cannot be used.
    """
    try:
        context = default()
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"the certificate or its key cannot be used: {error}",
            where=config.ssl_certfile or "",
            expected="PEM files: PARFOCAL_TLS_CERTIFICATE with its chain, PARFOCAL_TLS_KEY",
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
