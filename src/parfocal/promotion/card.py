"""The model card of a promoted version, written from its evidence alone: what it is for, how good, on whose word.

Sections follow Mitchell et al., Model Cards for Model Reporting (2019).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from parfocal.core.task import TASKS
from parfocal.core.types import Check, Outcome
from parfocal.promotion.account import alarm_text, minute
from parfocal.promotion.evidence import read_decision

USES: Mapping[str, str] = {
    "fundus": "outlining the optic disc and the cup in colour fundus photographs, so that a reader can measure the "
    "cup-to-disc ratio",
    "lung": "outlining both lungs in frontal chest radiographs",
    "lung-ct": "outlining the lungs in axial CT slices",
    "prostate": "outlining the prostate in axial MR slices",
    "bone": "outlining bone in axial CT slices",
    "vertebrae": "outlining the vertebrae in sagittal MR slices",
}
NOT_FOR = (
    "A diagnosis, or any decision that no person has looked at: it outlines, it does not judge.",
    "Images of instruments that the table below does not have. They are answered, and nobody knows how well.",
    "Other modalities, other body parts, or pictures of screens and prints.",
    "Following a patient across instruments without looking at the masks: differences between instruments remain.",
)


def render(evidence: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    model, task = evidence["model"], evidence["task"]
    lines = [
        f"# Model card: {task}, version {model['version']}",
        "",
        f"Promoted {minute(evidence['decided']['time'])}, "
        f"{_word(evidence['approval'])}. Bundle `{model['checksum']}`, made {minute(model['created'])}.",
        *_section("Intended use", _use(evidence)),
        *_section("Not for", [f"- {text}" for text in NOT_FOR]),
        *_section("How good it is", _quality(evidence)),
        *_section("Data", _data(evidence)),
        *_section("How it was made", _training(evidence)),
        *_section("Limits", _limits(evidence)),
        *_section("Decision", _decision(evidence)),
    ]
    return "\n".join(lines) + "\n"


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"## {title}", "", *lines]


def _use(evidence: Mapping[str, Any]) -> list[str]:
    name = evidence["task"]
    structures = list(dict.fromkeys(row["structure"] for row in evidence["cells"]))
    modality = f" in {TASKS[name].modality}" if name in TASKS else ""
    use = USES.get(name, f"outlining {', '.join(structures)}{modality}")
    return [
        f"For {use}. Structures: {', '.join(structures)}. Its reader is trained to draw the same outlines, "
        "sees every mask beside the image, and may correct it.",
        "",
        f"Instruments it has learned, in this order: {', '.join(evidence['model']['instruments'])}.",
        *_unserved(evidence["model"].get("unserved", "")),
    ]


def _unserved(reason: str) -> list[str]:
    return ["", f"Not served by the segmenter: {reason}. `parfocal segment` draws with it."] if reason else []


def _quality(evidence: Mapping[str, Any]) -> list[str]:
    level = next((row["dice"]["level"] for row in evidence["cells"]), 0.9)
    lines = [
        f"On frozen test cases, scored as it is served ({evidence['evaluation']['runtime']}). Dice with the "
        f"{level:.0%} interval of its mean over patients; skill is what is gained over one mask given for every image "
        "(0 nothing, 1 perfect); rrp10 the percentage of radii within 10 %; failures are cases under Dice "
        f"{evidence['policy']['failure_dice']:g}.",
        "",
        "| instrument | structure | patients | Dice (interval) | best | worst | sd | constant mask | skill | rrp10 "
        "| failures | champion before |",
        "| --- " * 12 + "|",
    ]
    clicked = evidence["model"].get("clicked")
    told = ["", "It answers clicks. Every score is after one click a structure that was placed with the truth's help."]
    return lines + [_row(row) for row in evidence["cells"]] + (told if clicked else [])


def _row(row: Mapping[str, Any]) -> str:
    dice, champion = row["dice"], row["champion"]
    interval = "" if dice["low"] is None else f" ({dice['low']:.3f} to {dice['high']:.3f})"
    before = "none"
    if champion is not None:
        ends = "" if champion["low"] is None else f", change {champion['change']:+.3f} ({champion['low']:+.3f} to "
        before = f"{champion['mean']:.3f}" + (f"{ends}{champion['high']:+.3f})" if ends else "")
    cells = (
        row["instrument"], row["structure"], str(row["patients"]), f"{dice['mean']:.3f}{interval}",
        f"{dice['best']:.3f}", f"{dice['worst']:.3f}", _number(dice["sd"]), f"{row['constant']:.3f}",
        _number(row["skill"]), f"{row['rrp10']:.0f} %", f"{row['failures']} of {row['cases']}", before,
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def _data(evidence: Mapping[str, Any]) -> list[str]:
    lines = ["| instrument | patients train / validation / test | dataset | frozen test | used in decisions before |"]
    lines.append("| --- " * 5 + "|")
    for data in evidence["data"]:
        counts, test = data["patients"], evidence["tests"].get(data["instrument"])
        shown = " / ".join(str(counts[side]) for side in ("train", "validation", "test")) if counts else "not reachable"
        frozen = f"{test['patients']} patients, `{test['checksum'][:12]}`" if test else "none"
        uses = str(test["uses"]) if test else ""
        lines.append(f"| {data['instrument']} | {shown} | `{data['checksum'][:12]}` | {frozen} | {uses} |")
    return [*lines, "", "A patient is on one side of the split, for ever. Nothing was tuned on the test side."]


def _training(evidence: Mapping[str, Any]) -> list[str]:
    model, memory = evidence["model"], evidence["memory"]
    parent = f"bundle `{model['parent']['checksum'][:12]}`" if model["parent"] else "none, a first training"
    kept = "none" if not memory else f"`{(memory['checksum'] or 'not reachable')[:12]}`"
    image = evidence.get("image") or "not named by the environment (PARFOCAL_IMAGE)"
    code = evidence.get("code") or {"version": evidence["code_version"], "digest": "unknown"}
    return [
        f"- Strategy: {model['strategy']}; parent: {parent}; exemplar memory: {kept}; seed {model['seed']}.",
        f"- Code: parfocal {code['version']}, sources `{code['digest'][:12]}`; image: {image}.",
        f"- Cause: {alarm_text(evidence.get('alarm'))}.",
    ]


def _limits(evidence: Mapping[str, Any]) -> list[str]:
    """What the numbers themselves say against it."""
    found, least = [], evidence["policy"]["min_patients"]
    for row in evidence["cells"]:
        place = f"{row['structure']} on {row['instrument']}"
        if row["patients"] < least:
            found.append(f"- The {place} was tested on {row['patients']} patients; {least} are asked for.")
        if row["failures"]:
            found.append(f"- {row['failures']} of {row['cases']} test cases of the {place} failed outright.")
        if row["dice"]["low"] is not None and row["dice"]["low"] <= row["constant"]:
            found.append(f"- The {place} is not shown to be better than one mask for every image.")
    unsaid = [check for check in _checks(evidence) if check.outcome is not Outcome.PROMOTE]
    found += [f"- Not shown: {check.reason}" for check in unsaid]
    return [*found, "- Tested on the instruments above and nowhere else; drift is watched for, and may be found late."]


def _decision(evidence: Mapping[str, Any]) -> list[str]:
    decision, approval, back = evidence["decision"], evidence["approval"], evidence["rollback"]
    lines = [decision["reason"], ""]
    if approval:
        lines += [f"Approved by {approval['by']}: {approval['reason']}", ""]
    met = sum(check.outcome is Outcome.PROMOTE for check in _checks(evidence))
    decided = evidence["decided"]
    return [
        *lines,
        f"- {met} of {len(decision['checks'])} conditions were met; each is in evidence.json with its limit.",
        f"- Ledger entry {decided['seq']}, `{decided['hash'][:16]}`, {decided['time']}.",
        f"- Way back: {_way_back(back)}.",
    ]


def _checks(evidence: Mapping[str, Any]) -> tuple[Check, ...]:
    return read_decision(evidence["decision"]).checks


def _word(approval: Mapping[str, Any] | None) -> str:
    return f"approved by {approval['by']}" if approval else "by the gate"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _way_back(back: Mapping[str, str] | None) -> str:
    return f"version {back['version']}, bundle `{back['checksum'][:12]}`" if back else "none, the first model"
