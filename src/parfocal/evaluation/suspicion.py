"""What published ranges say of a disc and a cup: indicators for a clinician, beside the photograph; no diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from parfocal.evaluation.glaucoma import Eye, cdr, rim, vertical_cdr
from parfocal.evaluation.metrics import Mask

Reading = Literal["within", "borderline", "outside", "not read"]

WARNING = (
    "This is no diagnosis. The numbers come from masks that a network drew; they depend on the size of the disc and on "
    "the photograph, many healthy eyes lie outside these ranges, and glaucoma is found within them. A clinician "
    "decides, with eye pressure, visual field and history."
)

_CDR = (0.6, 0.7)
RAISED = _CDR[1]
"""A cup-to-disc ratio of this and above is outside its range, and raises suspicion."""
_ASYMMETRY = 0.2

_SOURCES = {
    "cdr": "Carpel and Engstrom, The normal cup-disk ratio, Am J Ophthalmol 1981: 0.7 or more should be viewed with "
    "suspicion; from 0.6 it is read as the vertical ratio is",
    "vertical_cdr": "Crowston and others, Br J Ophthalmol 2004: 97.5 % of healthy eyes are below 0.60 in discs of "
    "1.2 mm, 0.68 in discs of 1.5 mm, 0.75 in discs of 1.9 mm; Foster and others, Br J Ophthalmol 2002: that "
    "percentile is the criterion",
    "asymmetry": "Ong and others, Invest Ophthalmol Vis Sci 1999: 0.2 or more in 24 % of patients with open-angle "
    "glaucoma and in 6 % of healthy people; of little use alone",
    "isnt": "Harizman and others, Arch Ophthalmol 2006: followed by 79 % of healthy and 28 % of glaucomatous eyes; "
    "Poon and others, Am J Ophthalmol 2017: by 37 % of healthy ones",
}


@dataclass(frozen=True, slots=True)
class Indicator:
    """One number with what is published about it.

    Attributes:
        name: ``cdr``, ``vertical_cdr``, ``asymmetry`` or ``isnt``.
        value: the ratio or the difference; the four rim widths in source pixels for ``isnt``; None when not read.
        range: what counts as what, in words.
        reading: where the value lies.
        why: why it was not read; empty otherwise.
        source: who published the range.
    """

    name: str
    value: float | dict[str, float] | None
    range: str
    reading: Reading
    why: str
    source: str


@dataclass(frozen=True, slots=True)
class Suspicion:
    """The indicators of one eye.

    Attributes:
        level: ``raised``: a ratio or the asymmetry is outside its range; ``some``: one is borderline, or the rim does
            not follow ISNT, which is weak alone; ``none``: neither; ``not read``: no disc or no cup was found.
        indicators: each with its range.
        warning: to be shown wherever this is shown.
    """

    level: Literal["raised", "some", "none", "not read"]
    indicators: tuple[Indicator, ...]
    warning: str = WARNING

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def beside(self, other: Suspicion) -> Suspicion:
        """The same eye with the asymmetry read against the same person's other eye."""
        cdr_, vertical, _, isnt = self.indicators
        theirs = other.indicators[1].value
        return _judged((cdr_, vertical, _difference(_number(vertical.value), _number(theirs)), isnt))

    def text(self) -> str:
        """A line an indicator, for a person, who is to see the warning too."""
        lines = [f"glaucoma indicators: suspicion {self.level}"]
        for one in self.indicators:
            lines.append(f"  {one.name:<13} {_shown(one):<24} {one.reading:<11} {one.why or one.range}")
        return "\n".join(lines)


def suspicion(disc: Mask, cup: Mask, eye: Eye | None = None, *, other: float | None = None) -> Suspicion:
    """Read one eye's indicators against their published ranges.

    Args:
        disc, cup: masks bool [H, W] of one photograph, upright (superior is up).
        eye: which one it is; the ISNT rule is not read without it.
        other: vertical cup-to-disc ratio of the same person's other eye; the asymmetry is not read without it.
    """
    # A cup that was not found is no cup of size zero: a ratio of 0.00 would read as healthy.
    vertical = vertical_cdr(disc, cup) if cup.any() else None
    ratios = _ratio("cdr", cdr(disc, cup) if cup.any() else None), _ratio("vertical_cdr", vertical)
    return _judged((*ratios, _difference(vertical, other), _isnt(disc, cup, eye)))


def read(masks: Mapping[str, Mask], eye: Eye | None = None, *, other: float | None = None) -> Suspicion | None:
    """The same from masks by structure; None unless disc and cup are among them."""
    if not {"disc", "cup"} <= masks.keys():
        return None
    return suspicion(masks["disc"], masks["cup"], eye, other=other)


def _judged(indicators: tuple[Indicator, ...]) -> Suspicion:
    found = {one.name: one.reading for one in indicators}
    isnt = found.pop("isnt")
    if found["cdr"] == "not read":
        return Suspicion("not read", indicators)
    if "outside" in found.values():
        return Suspicion("raised", indicators)
    return Suspicion("some" if "borderline" in found.values() or isnt == "outside" else "none", indicators)


def _ratio(name: str, value: float | None) -> Indicator:
    low, high = _CDR
    text = f"below {low} within, {low} to {high} borderline, {high} and above outside"
    if value is None:
        return Indicator(name, None, text, "not read", "no disc or no cup was found", _SOURCES[name])
    reading: Reading = "within" if value < low else "borderline" if value < high else "outside"
    return Indicator(name, value, text, reading, "", _SOURCES[name])


def _difference(vertical: float | None, other: float | None) -> Indicator:
    text = f"vertical ratios of the two eyes: below {_ASYMMETRY} apart within, else outside"
    if vertical is None or other is None:
        why = "no disc or no cup was found" if vertical is None else "the other eye's ratio is not known"
        return Indicator("asymmetry", None, text, "not read", why, _SOURCES["asymmetry"])
    apart = abs(vertical - other)
    # A hair's breadth, or 0.7 and 0.5 would be less than 0.2 apart.
    reading: Reading = "within" if apart < _ASYMMETRY - 1e-9 else "outside"
    return Indicator("asymmetry", apart, text, reading, "", _SOURCES["asymmetry"])


def _isnt(disc: Mask, cup: Mask, eye: Eye | None) -> Indicator:
    text = "rim widest inferior, then superior, nasal, temporal: within, else outside"
    found = rim(disc, cup, eye) if cup.any() else None
    if found is None or found.nasal is None or found.temporal is None:
        why = "no disc or no cup was found" if found is None else "which eye it is is not known, nor what is nasal"
        return Indicator("isnt", None, text, "not read", why, _SOURCES["isnt"])
    widths = {
        "inferior": found.inferior,
        "superior": found.superior,
        "nasal": found.nasal,
        "temporal": found.temporal,
    }
    return Indicator("isnt", widths, text, "within" if found.follows_isnt else "outside", "", _SOURCES["isnt"])


def _number(value: object) -> float | None:
    return value if isinstance(value, float) else None


def _shown(one: Indicator) -> str:
    if one.value is None:
        return "-"
    if isinstance(one.value, float):
        return f"{one.value:.2f}"
    return "  ".join(f"{name[0].upper()} {width:.0f}" for name, width in one.value.items())
