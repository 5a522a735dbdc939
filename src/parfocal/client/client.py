"""The client: one method a route, with time-outs, and tried again where the service asks for patience."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, Self, TypeVar

from parfocal.client import answers, errors
from parfocal.client.answers import Click, Instruments, Models, Refined, Segmented
from parfocal.client.many import Outcome, Picture, outcomes
from parfocal.client.retry import AGAIN, Patience, retry_after
from parfocal.core.errors import DataContractError, OutsideServiceError, UsageError

if TYPE_CHECKING:
    import httpx

VARIABLE = "PARFOCAL_CLIENT_TOKEN"
"""Variable of the environment: a program need not have its token in its text, nor among its arguments."""
KEPT = 2.0
"""Seconds that a connection which nobody uses is kept; the service closes such a one after five, and a request that
meets the closing of its connection is not sent again, as it may have been answered."""
Answer = TypeVar("Answer")
Files = Mapping[str, tuple[str, bytes]]


class Client:
    """Talks to one segmenter. May be used from several threads; connections are kept and used again."""

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        timeout: float = 60.0,
        patience: Patience | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        rng: Random | None = None,
    ) -> None:
        """Nothing is sent yet.

        Args:
            url: such as ``http://127.0.0.1:3000``.
            token: bearer token with the role `segment`; by default what PARFOCAL_CLIENT_TOKEN says.
            timeout: seconds for connecting, and for every pause within an answer; more than the service's own.
            patience: how often a request is tried.
            transport: of httpx, in place of the network.
            sleep, rng: what pauses are made of.

        Raises:
            UsageError: httpx is not installed.
        """
        try:
            import httpx
        except ModuleNotFoundError:
            raise UsageError("the client needs httpx", next="pip install 'parfocal[client]'") from None
        self.url = url.rstrip("/")
        token = token or os.environ.get(VARIABLE, "")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        limits = httpx.Limits(keepalive_expiry=KEPT)
        self._http = httpx.Client(
            base_url=self.url, timeout=timeout, headers=headers, transport=transport, limits=limits
        )
        self._patience, self._sleep, self._rng = patience or Patience(), sleep, rng or Random()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def segment(
        self,
        picture: Picture,
        *,
        instrument: str = "",
        task: str = "",
        patient: str = "",
        masks: str = "png",
        spacing: tuple[float, float] | None = None,
        eye: str = "",
        slice: int | None = None,
        plane: str = "",
        observe: bool = True,
    ) -> Segmented:
        """Masks of one picture.

        Args:
            picture: a JPEG, PNG, TIFF, DICOM or NIfTI file, or what is in one.
            instrument, patient: as the service may know them; empty: not said.
            task: of several that the service answers for; empty: its first.
            masks: ``png``, ``rle`` or ``none``; ``dicom-seg`` for a DICOM picture, which gives `Segmented.dicom_seg`.
            spacing: (row, column) in millimetres.
            eye: ``left`` or ``right``; ISNT is not read without it, unless a DICOM file says it.
            slice, plane: of a NIfTI volume; the plane is ``acquired`` where none is named.
            observe: False for a picture that is no patient's request, such as one that is being labelled: the monitor
                does not hear of it. Needs the role `annotate`.

        Raises:
            RefusedError: the service will not answer this.
            OutsideServiceError: it cannot be reached, or was too busy every time.
        """
        texts = {"instrument": instrument, "task": task, "patient": patient, "masks": masks, "eye": eye}
        texts |= {"spacing": _spacing(spacing), "slice": "" if slice is None else str(slice), "plane": plane}
        texts |= {} if observe else {"observe": "no"}
        return _understood(answers.segmented, self._post("/segment", texts, {"image": _file(picture)}), self.url)

    def segment_many(
        self,
        pictures: Iterable[Picture],
        *,
        in_flight: int = 4,
        progress: Callable[[int], None] | None = None,
        instrument: str = "",
        task: str = "",
        masks: str = "png",
    ) -> Iterator[Outcome]:
        """Masks of many pictures, in their order.

        Args:
            pictures: taken one after the other as there is room.
            in_flight: requests at once.
            progress: told how many outcomes there are, after each.
            instrument, task, masks: as for `segment`, of all of them.
        """
        if in_flight < 1:
            raise UsageError(f"{in_flight} requests at once", expected="1 or more")

        def ask(picture: Picture) -> Segmented:
            return self.segment(picture, instrument=instrument, task=task, masks=masks)

        for outcome in outcomes(ask, pictures, in_flight):
            if progress is not None:
                progress(outcome.number + 1)
            yield outcome

    def refine(
        self,
        structure: str,
        clicks: Sequence[Click],
        *,
        image: Picture | None = None,
        case: str = "",
        previous: bytes = b"",
        outer: bytes = b"",
        instrument: str = "",
        task: str = "",
        masks: str = "png",
    ) -> Refined:
        """A mask by clicks.

        With both `case` and `image` the picture is sent only if the service does not remember the case any more: the
        usual way to click, since several workers do not remember the same.

        Args:
            structure: what is clicked.
            clicks: every one so far.
            image: as for `segment`.
            case: `request_id` of a `Segmented`, or `case` of a `Refined`.
            previous: the mask so far, a PNG file, such as `Found.mask`.
            outer: mask of the structure round it; empty: the champion's.
            instrument, masks: as for `segment`.
            task: as for `segment`; the one that `case` was asked for.

        Raises:
            RefusedError, OutsideServiceError: as for `segment`; 404 for a case that is gone, with no `image`.
        """
        texts = {
            "structure": structure,
            "clicks": json.dumps([click.json() for click in clicks]),
            "instrument": instrument,
            "task": task,
            "masks": masks,
        }
        files = {"previous": ("previous.png", previous), "outer": ("outer.png", outer)}
        files = {name: file for name, file in files.items() if file[1]}
        if case:
            try:
                return _understood(answers.refined, self._post("/refine", texts | {"case": case}, files), self.url)
            except errors.RefusedError as error:
                if error.status != 404 or image is None:
                    raise
        if image is None:
            raise UsageError("neither a picture nor a case", expected="`image`, `case` or both")
        values = self._post("/refine", texts, {**files, "image": _file(image)})
        return _understood(answers.refined, values, self.url)

    def instruments(self, name: str = "", *, task: str = "") -> Instruments:
        """What the champion knows, and how a picture of `name` would be answered.

        Args:
            task: its champion alone; empty: the first task's, and the other tasks' in `Instruments.others`.
        """
        asked = {"name": name, "task": task}
        values = self._send("GET", "/instruments", params={key: text for key, text in asked.items() if text})
        return _understood(answers.instruments, values, self.url)

    def models(self) -> Models:
        """Who answers, for every task of the service."""
        return _understood(answers.models, self._send("GET", "/models"), self.url)

    def _post(self, path: str, texts: Mapping[str, str], files: Files) -> Any:
        # Texts are parts of the form even where no file is, which httpx would send as another type.
        parts: dict[str, tuple[str | None, str | bytes]] = {name: (None, text) for name, text in texts.items() if text}
        return self._send("POST", path, files={**parts, **files})

    def _send(self, method: str, path: str, **what: Any) -> Any:
        """The JSON of a 200."""
        import httpx

        for tried in range(1, self._patience.tries + 1):
            last = tried == self._patience.tries
            try:
                response = self._http.request(method, path, **what)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:  # it has not seen the request
                if last:
                    raise _away(self.url, error) from error
                asked = None
            except httpx.TransportError as error:  # it may have answered already: a picture is not counted twice
                raise _away(self.url, error) from error
            else:
                if response.status_code == 200:
                    return _json(response, self.url)
                if response.status_code not in AGAIN or last:
                    raise errors.of(response.status_code, _json_or_none(response), self.url + path)
                asked = retry_after(response.headers.get("Retry-After"))
            self._sleep(self._patience.pause(tried, asked, self._rng))
        raise AssertionError("the last try returns or raises")


def _understood(read: Callable[[Any], Answer], values: Any, url: str) -> Answer:
    try:
        return read(values)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"an answer that this client does not understand: {type(error).__name__} {error}"
        raise OutsideServiceError(what, where=url, next="is this a segmenter, as old as the client or newer?") from None


def _file(picture: Picture) -> tuple[str, bytes]:
    """A name that says nothing, and the bytes."""
    if isinstance(picture, bytes):
        return "picture", picture
    try:
        return "picture", picture.read_bytes()
    except OSError as error:
        raise DataContractError("the picture cannot be read", where=picture, next=str(error)) from None


def _spacing(spacing: tuple[float, float] | None) -> str:
    return "" if spacing is None else f"{spacing[0]!r},{spacing[1]!r}"


def _json(response: httpx.Response, url: str) -> Any:
    content = _json_or_none(response)
    if content is None:
        raise OutsideServiceError("an answer that is no JSON", where=url, next="is this the segmenter's address?")
    return content


def _json_or_none(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _away(url: str, error: Exception) -> OutsideServiceError:
    why = str(error) or type(error).__name__
    return OutsideServiceError(f"the segmenter cannot be reached: {why}", where=url, next="is it up? see /readyz")
