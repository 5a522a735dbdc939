"""What the demo sees of the monitor: its `/api/state`, asked again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from parfocal.core.errors import OutsideServiceError

T = TypeVar("T")
State = Mapping[str, Any]


class Monitor:
    """Reads the monitor's state and hands labelled cases in."""

    def __init__(self, address: str, token: str) -> None:
        import httpx

        self._client = httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=30)

    def state(self) -> State:
        """The monitor's state now.

        Raises:
            OutsideServiceError: it does not answer.
        """
        import httpx

        try:
            reply = self._client.get("/api/state")
            reply.raise_for_status()
            found: State = reply.json()
        except httpx.HTTPError as error:
            raise OutsideServiceError(f"the monitor does not answer: {error}", where=self._client.base_url) from None
        return found

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
        """Give the monitor a case: files by name (`image`, and a structure each), and patient, name, grader."""
        reply = self._client.post(f"/cases/{task}/{instrument}", files=dict(files), data=fields)
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


def received(name: str, number: int) -> Callable[[State], bool | None]:
    """Whether at least so many observations of an instrument have arrived."""
    return lambda state: True if instrument(state, name).get("observations", 0) >= number else None


def run_of(state: State, name: str) -> State | None:
    """The latest run for an instrument."""
    return next((run for run in state["runs"] if run["instrument"] == name), None)
