"""The picture of a Label Studio task: inside the task, or from the one Label Studio that this installation was told of.

A task says an address, and whoever may write tasks would otherwise make this service fetch what it can reach and they
cannot. So one origin is fetched from, below the paths under which Label Studio keeps pictures; no redirect is followed,
and nothing of what came is told but that it is no picture.
"""

from __future__ import annotations

import base64
import binascii
from functools import cached_property
from urllib.parse import SplitResult, unquote, urlsplit

import httpx
from parfocal_serving.segmenter.problems import RequestError
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

PATHS = ("/data/", "/storage-data/")
"""Of Label Studio's own files: uploads and local files, and what it passes on from a storage."""
PATIENCE = 10.0
"""Seconds for connecting, and for every pause within a picture."""


class LabelStudioSettings(BaseSettings):
    """Which Label Studio pictures are fetched from; none with nothing set."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True)

    url: str = Field(
        default="",
        validation_alias="PARFOCAL_LABEL_STUDIO_URL",
        description="such as http://label-studio:8080; empty: only pictures inside a task are answered",
    )
    token: str = Field(
        default="",
        validation_alias="PARFOCAL_LABEL_STUDIO_TOKEN",
        repr=False,
        description="access token of a Label Studio user who may see the pictures; sent to that address alone",
    )


class Images:
    """Fetches pictures. `transport` stands in place of the network in tests."""

    def __init__(
        self, settings: LabelStudioSettings, most: int, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._settings, self._most, self._transport = settings, most, transport

    async def of(self, said: object) -> bytes:
        """The file that a task's `data` says.

        Raises:
            RequestError: 400 an address that is not fetched from, or nothing there; 413 more than `most` bytes.
        """
        if not isinstance(said, str) or not said:
            raise _refused("the task names no picture", "an address, or data:image/png;base64,...")
        if said.startswith("data:"):
            return self._inside(said)
        return await self._fetched(self._address(said))

    def _inside(self, said: str) -> bytes:
        head, comma, body = said.partition(",")
        if not comma or not head.endswith(";base64"):
            raise _refused("a picture in the task that is not base64", "data:image/png;base64,...")
        if len(body) * 3 // 4 > self._most + 3:
            raise self._too_large()
        try:
            return base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError):
            raise _refused("a picture in the task that is not base64", "data:image/png;base64,...") from None

    def _address(self, said: str) -> str:
        """The address to fetch, on the one origin and below one of `PATHS`."""
        if self._origin is None:
            raise _refused(
                "no Label Studio is named that pictures may be fetched from", "PARFOCAL_LABEL_STUDIO_URL, or base64"
            )
        try:
            asked = urlsplit(said)
            origin = (asked.scheme, asked.hostname, _port(asked)) if asked.scheme or asked.netloc else _of(self._origin)
        except ValueError:
            raise _elsewhere() from None
        path = unquote(asked.path)
        odd = any(ord(letter) <= 32 or letter == "\\" for letter in said) or ".." in path.split("/") or "%" in path
        if odd or "@" in asked.netloc or origin != _of(self._origin):
            raise _elsewhere()
        if not path.startswith(PATHS):
            raise _elsewhere()
        query = f"?{asked.query}" if asked.query else ""
        return f"{self._origin.scheme}://{self._origin.netloc}{asked.path}{query}"

    @cached_property
    def _origin(self) -> SplitResult | None:
        if not self._settings.url:
            return None
        found = urlsplit(self._settings.url)
        return found if found.scheme in ("http", "https") and found.hostname else None

    async def _fetched(self, address: str) -> bytes:
        headers = {"Authorization": f"Token {self._settings.token}"} if self._settings.token else {}
        client = httpx.AsyncClient(
            timeout=PATIENCE, follow_redirects=False, trust_env=False, transport=self._transport, headers=headers
        )
        try:
            async with client, client.stream("GET", address) as response:
                if response.status_code != 200:
                    raise _refused(
                        f"Label Studio answered {response.status_code} for the picture", "200",
                        "see PARFOCAL_LABEL_STUDIO_TOKEN",
                    )  # fmt: skip
                parts, size = [], 0
                async for part in response.aiter_bytes():
                    size += len(part)
                    if size > self._most:
                        raise self._too_large()
                    parts.append(part)
                return b"".join(parts)
        except httpx.HTTPError:
            raise _refused("Label Studio does not answer for the picture", "the picture", "try again") from None

    def _too_large(self) -> RequestError:
        return RequestError(
            413, "the picture is too large", where="data", expected=f"at most {self._most / 1e6:g} MB",
            next="raise PARFOCAL_SEGMENTER_UPLOAD_MB",
        )  # fmt: skip


def _of(one: SplitResult) -> tuple[str, str | None, int | None]:
    return one.scheme, one.hostname, _port(one)


def _port(one: SplitResult) -> int | None:
    return one.port or {"http": 80, "https": 443}.get(one.scheme)


def _elsewhere() -> RequestError:
    return _refused(
        "this address is not fetched from", f"one of the Label Studio that was named, below {' or '.join(PATHS)}",
        "set PARFOCAL_LABEL_STUDIO_URL, or let tasks hold data:image/...;base64,...",
    )  # fmt: skip


def _refused(what: str, expected: str, advice: str = "") -> RequestError:
    return RequestError(400, what, where="data", expected=expected, next=advice)
