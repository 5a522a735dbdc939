"""What runs on a state folder and how it is, as plain values."""

from __future__ import annotations

import time
from typing import Any

from parfocal.adapters import follower, local_record
from parfocal.adapters.local_services import SERVICES, Service, beat, token
from parfocal.adapters.processes import answers, get_json
from parfocal.adapters.settings import Settings

SILENT = 20.0
"""Seconds without an answer from the registry after which the follower is not well; it asks at least every ten."""
BY_NAME = {service.name: service for service in SERVICES}


def look(settings: Settings) -> dict[str, Any]:
    """State of every service, the champion that is served, and alarms.

    Returns:
        ``well`` (everything that should run does and answers), ``services`` by name, ``champion``, ``rejected``,
        ``alarms``, ``task``, ``state``.
    """
    state = settings.state.resolve()
    services = {
        name: _service(name, entry, settings)
        for record in local_record.running(state)
        for name, entry in _entries(record).items()
    }
    monitor = services.get("monitor")
    alarms = _alarms(monitor, token(settings)) if monitor and monitor["well"] else []
    return {
        "state": str(state),
        "well": bool(services) and all(row["well"] for row in services.values()),
        "services": services,
        "task": settings.task,
        "champion": follower.current(settings.serving),
        "rejected": follower.rejected(settings.serving),
        "alarms": alarms,
    }


def _entries(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every service that the record's process manages, also those that it has not started yet."""
    blank = {"state": "waiting", "pid": None, "port": None, "address": None, "log": "", "started": "", "restarts": 0}
    return {name: {**blank, **record["services"].get(name, {})} for name in record["manages"]}


def _service(name: str, entry: dict[str, Any], settings: Settings) -> dict[str, Any]:
    well, health = _health(BY_NAME[name], entry, settings) if entry["pid"] else (False, "does not run")
    return {**entry, "well": well, "health": health}


def _health(service: Service, entry: dict[str, Any], settings: Settings) -> tuple[bool, str]:
    if not service.live:
        quiet = time.time() - beat(settings)
        return (True, "the registry answers") if quiet < SILENT else (False, "the registry does not answer")
    if not answers(entry["port"], service.live, tls=_tls(entry)):
        return False, "does not answer"
    if service.ready and not answers(entry["port"], service.ready, tls=_tls(entry)):
        champion = follower.current(settings.serving)
        if champion is None:
            return True, "waits for a champion"
        if reason := champion.get("unserved"):
            return True, f"does not serve version {champion['version']}: {reason}"
        refused = _values(get_json(entry["port"], service.ready, tls=_tls(entry))).get("rejected") or {}
        return False, f"not ready: {refused['reason']}" if refused.get("reason") else "not ready"
    return True, "well"


def _tls(entry: dict[str, Any]) -> bool:
    return str(entry["address"]).startswith("https:")


def _alarms(entry: dict[str, Any], token: str) -> list[dict[str, Any]]:
    """The streams in alarm, as the monitor says; none when it does not say."""
    found = _values(get_json(int(entry["port"]), "/api/state", tls=_tls(entry), token=token))
    return [
        {"instrument": instrument["name"], "stream": stream["name"], "alarm_at": stream.get("alarm_at")}
        for instrument in found.get("instruments", ())
        for stream in instrument.get("streams", ())
        if stream.get("alarm")
    ]


def _values(answer: Any) -> dict[str, Any]:
    return answer if isinstance(answer, dict) else {}
