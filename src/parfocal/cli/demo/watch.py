"""What the demo sees of the monitor: its `/api/state`, asked again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from parfocal.core.errors import OutsideServiceError

T = TypeVar("T")
State = Mapping[str, Any]
ENDED = ("succeeded", "failed", "cancelled")
"""States of a run that is over."""


class Monitor:
    """Reads the monitor's state and hands labelled cases in."""

    def __init__(self, address: str, token: str, patience: float = 30) -> None:
        """Connect to nothing yet; `patience` is how many seconds it may be silent."""
        import httpx

        self._patience = patience
        self._client = httpx.Client(
            base_url=address,
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
            limits=httpx.Limits(keepalive_expiry=2),  # before the monitor lets go of an idle connection, after five
        )

    def state(self) -> State:
        """The monitor's state now. One that has died is asked again, for the platform starts it again.

        Raises:
            OutsideServiceError: it does not answer.
        """
        import httpx

        end = time.monotonic() + self._patience
        while True:
            try:
                reply = self._client.get("/api/state")
                reply.raise_for_status()
                found: State = reply.json()
                return found
            except (httpx.HTTPError, ValueError) as error:
                if time.monotonic() > end:
                    where = self._client.base_url
                    raise OutsideServiceError(f"the monitor does not answer: {error}", where=where) from None
                time.sleep(0.2)

    def wait(self, what: str, look: Callable[[State], T | None], seconds: float, every: float = 0.25) -> T:
        """Ask until `look` finds something.

        Raises:
            OutsideServiceError: it was not there in time; `what` names it.
        """
        end = time.monotonic() + seconds
        while True:
            if (found := look(self.state())) is not None:
                return found
            if time.monotonic() > end:
                raise OutsideServiceError(f"{what} did not come within {seconds:.0f} s", where=self._client.base_url)
            time.sleep(every)

    def hand_in(self, task: str, instrument: str, files: Mapping[str, tuple[str, bytes]], **fields: str) -> None:
        """Give the monitor a case: files by name (`image`, and a structure each), and patient, name, grader, assisted.

        Raises:
            OutsideServiceError: it did not take it.
        """
        import httpx

        try:
            reply = self._client.post(f"/cases/{task}/{quote(instrument)}", files=dict(files), data=fields)
        except httpx.HTTPError as error:
            where = self._client.base_url
            raise OutsideServiceError(f"the monitor did not take a case: {error}", where=where) from None
        if reply.status_code >= 400:
            raise OutsideServiceError(f"the monitor did not take a case: {reply.text[:300]}", where=str(reply.url))

    def close(self) -> None:
        self._client.close()


def instrument(state: State, name: str) -> State:
    """What the state says of an instrument; empty when it has not been seen."""
    return next((found for found in state["instruments"] if found["name"] == name), {})


def alarms(state: State, name: str) -> list[State]:
    """The streams of an instrument that are in alarm."""
    return [stream for stream in instrument(state, name).get("streams", ()) if stream["alarm"]]


def deaf(state: State, name: str) -> str:
    """Why no alarm can come for an instrument, however many cases it sends; empty when one can."""
    streams = instrument(state, name).get("streams", ())
    if any(stream["threshold"] is not None for stream in streams):
        return ""
    if not streams:
        return "the champion has no drift reference"
    reason = str(streams[0].get("reason") or "")
    return reason or "the reference is too small to promise a rate of false alarms"


def received(name: str, number: int) -> Callable[[State], State | None]:
    """The state, once so many observations of an instrument have arrived."""
    return lambda state: state if instrument(state, name).get("observations", 0) >= number else None


def received_in_all(number: int) -> Callable[[State], State | None]:
    """The state, once so many observations have arrived, of whatever instrument."""
    return lambda state: state if state["observations"] >= number else None


def follows(version: str) -> Callable[[State], State | None]:
    """The state, once the monitor measures against the reference of this version."""
    return lambda state: state if state["champion"] and str(state["champion"]["version"]) == version else None


def launched(state: State, name: str) -> State | None:
    """The latest run for an instrument, once the launcher knows it or it has ended before that."""
    run = next((run for run in state["runs"] if run["instrument"] == name), None)
    return run if run and (run["run_id"] or run["state"] in ENDED) else None


def start_of(state: State, key: str) -> State:
    """The decision to start a run."""
    return next(d for d in state["decisions"] if d["key"] == key and d["action"] == "start")


def ended(state: State, key: str) -> State | None:
    """A run that is over, however."""
    return next((run for run in state["runs"] if run["key"] == key and run["state"] in ENDED), None)
