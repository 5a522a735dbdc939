"""Several pictures of one request: each is answered or refused as it would be alone, and the order is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence

from parfocal_serving.segmenter.problems import RequestError, body
from parfocal_serving.segmenter.worker import Answer

Outcome = Answer | RequestError


async def outcomes(images: Sequence[bytes], answer: Callable[[bytes], Awaitable[Answer]]) -> list[Outcome]:
    """What became of each picture. They wait for the worker's threads side by side, as single requests do.

    Raises:
        Exception: a bug, in the first picture that met it.
    """

    async def one(image: bytes) -> Outcome:
        try:
            return await answer(image)
        except RequestError as error:
            return error

    return await asyncio.gather(*map(one, images))


def text(found: Sequence[Outcome]) -> bytes:
    """`{"answers": [...]}`; a picture that was refused has `status` and `error` in its place."""
    parts = [
        one.body if isinstance(one, Answer) else json.dumps({"status": one.status, **body(one)}).encode()
        for one in found
    ]
    return b'{"answers":[' + b",".join(parts) + b"]}"


def no_object(pictures: int) -> RequestError:
    """Why several pictures are not answered with one DICOM object."""
    return RequestError(
        400, f"{pictures} pictures, and one DICOM object was asked for", where="image", expected="one picture",
        next="ask for application/json: every answer then has its own `dicom_seg`",
    )  # fmt: skip
