"""Many pictures: a bounded number in flight, answers in the order of the pictures; one that fails stops no other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from parfocal.client.answers import Segmented
from parfocal.core.errors import ParfocalError

Picture = Path | bytes
"""A file, or what is in one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one picture: an answer or an error.

    Attributes:
        number: of the picture, from 0.
        picture: the file's path, or its bytes, as given.
    """

    number: int
    picture: Picture
    answer: Segmented | None
    error: ParfocalError | None


def outcomes(ask: Callable[[Picture], Segmented], pictures: Iterable[Picture], in_flight: int) -> Iterator[Outcome]:
    """Ask for every picture.

    No picture is taken from `pictures` before there is room for it, and an outcome that nobody has fetched takes the
    room of a request: a slow reader slows the asking down. Leaving the loop early leaves the rest unasked.

    Args:
        ask: may be called from several threads.
        in_flight: pictures that are asked for, or answered and not fetched, at once.
    """
    running: deque[tuple[int, Picture, Future[Segmented]]] = deque()
    pool = ThreadPoolExecutor(in_flight, thread_name_prefix="picture")
    try:
        for number, picture in enumerate(pictures):
            if len(running) == in_flight:
                yield _outcome(*running.popleft())
            running.append((number, picture, pool.submit(ask, picture)))
        while running:
            yield _outcome(*running.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _outcome(number: int, picture: Picture, future: Future[Segmented]) -> Outcome:
    try:
        return Outcome(number, picture, future.result(), None)
    except ParfocalError as error:
        return Outcome(number, picture, None, error)
