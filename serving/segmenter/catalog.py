"""GET /models and GET /instruments: who answers here, and whose pictures it has learned."""

from __future__ import annotations

from typing import Any

from parfocal_serving.segmenter import answer
from parfocal_serving.segmenter.challenger import Challenger
from parfocal_serving.segmenter.champion import Champion
from parfocal_serving.segmenter.click_model import ClickModel, Clicks
from parfocal_serving.segmenter.lineage import learned

from parfocal.core.bundle import Bundle
from parfocal.core.errors import ParfocalError


class Catalog:
    """Answers from what is loaded. What the bundles' line says is read once a champion."""

    def __init__(self, task: str, clicks: Clicks) -> None:
        self._task, self._clicks = task, clicks
        self._known: tuple[str, list[dict[str, Any]]] = ("", [])

    def models(self, champion: Champion | None, challenger: Challenger | None = None) -> dict[str, Any]:
        """The champion, what may stand beside it, and the model that answers clicks; each may be null."""
        clicks, rival = self._clicks.current, challenger.models.current if challenger else None
        return {
            "task": self._task,
            "champion": champion and _champion(champion),
            "challenger": rival and _champion(rival),
            "clicks": clicks and _clicks(clicks),
            "clicks_trouble": self._clicks.trouble,
        }

    def instruments(self, champion: Champion, name: str = "") -> dict[str, Any]:
        """What the champion knows, and how a picture of the instrument `name` would be answered."""
        spec = champion.predictor.bundle
        found: dict[str, Any] = {
            "task": champion.task,
            "version": champion.version,
            "instruments": [dict(one) for one in self._instruments(champion)],
            "otherwise": {"known": False, "network": "shared"},
        }
        if name:
            known = name in spec.instruments
            found["asked"] = {"name": name, "known": known, "network": _network(spec, name)}
        return found

    def _instruments(self, champion: Champion) -> list[dict[str, Any]]:
        checksum, listed = self._known
        if checksum != champion.checksum:
            spec = champion.predictor.bundle
            try:
                found = learned(champion.folder, spec) if champion.folder else {}
            except (ParfocalError, OSError):  # a folder of its line is gone
                found = {}
            listed = [
                {
                    "name": name,
                    "patients": found[name].patients if name in found else None,
                    "learned": found[name].date if name in found else None,
                    "network": _network(spec, name),
                }
                for name in spec.instruments
            ]
            self._known = (champion.checksum, listed)
        return listed


def _champion(champion: Champion) -> dict[str, Any]:
    found = _described(champion, champion.predictor.bundle)
    return {**found, "since": champion.since or None, "drift": bool(champion.reference_id)}


def _clicks(model: ClickModel) -> dict[str, Any]:
    return {**_described(model, model.bundle, tuple(model.predictors)), "since": model.since}


def _described(one: Champion | ClickModel, spec: Bundle, only: tuple[str, ...] = ()) -> dict[str, Any]:
    structures = [
        {"name": name, "inside": model.inside, "threshold": model.threshold}
        for name, model in spec.structures.items()
        if not only or name in only
    ]
    return {
        **answer.model(one),
        "structures": structures,
        "instruments": list(spec.instruments),
        "strategy": spec.strategy,
    }


def _network(spec: Bundle, name: str) -> str:
    """`own` where some structure has a network for this instrument alone, else `shared`."""
    return "own" if any(name in model.by_instrument for model in spec.structures.values()) else "shared"
