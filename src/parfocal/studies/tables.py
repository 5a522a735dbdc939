"""Tables as values: ours with an interval, the paper's figure beside it. How they are shown is in `output`."""

from __future__ import annotations

from dataclasses import dataclass

from parfocal.core.types import Interval


@dataclass(frozen=True, slots=True)
class Entry:
    """One number of a table.

    Attributes:
        value: ours; None where there is none.
        low, high: its interval, where there is one.
        paper: what the paper says in this place.
        digits: after the point; for the values from 1e-3 down with ``small`` in scientific notation.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    paper: float | None = None
    digits: int = 3
    small: bool = False

    @classmethod
    def of(cls, interval: Interval | None, paper: float | None = None, digits: int = 3) -> Entry:
        """An estimate with its interval."""
        if interval is None:
            return cls(paper=paper, digits=digits)
        low, high = (interval.low, interval.high) if interval.low < interval.high else (None, None)
        return cls(interval.estimate, low, high, paper, digits)

    def text(self) -> str:
        """Such as ``0.912 [0.881, 0.934]``; a dash where there is nothing."""
        if self.value is None:
            return "–"
        said = self.number(self.value)
        if self.low is not None and self.high is not None:
            said += f" [{self.number(self.low)}, {self.number(self.high)}]"
        return said

    def number(self, value: float) -> str:
        """A value with the entry's digits."""
        if self.small and abs(value) < 1e-3:
            return f"{value:.1e}"
        return f"{value:.{self.digits}f}"

    @property
    def paper_text(self) -> str:
        """The paper's figure, or nothing."""
        return "" if self.paper is None else self.number(self.paper)


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a table; `x` is its place on the axis where the table's lines are one."""

    name: str
    entries: tuple[Entry, ...]
    x: float | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a study.

    Attributes:
        name: of its files.
        head: over the first column.
        plot: places of the columns that are drawn; none: no plot.
        unit: of what is drawn.
    """

    name: str
    title: str
    caption: str
    head: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    plot: tuple[int, ...] = ()
    unit: str = ""

    def __post_init__(self) -> None:
        for line in self.lines:
            if len(line.entries) != len(self.columns):
                raise ValueError(f"{self.name}: {len(line.entries)} entries under {len(self.columns)} columns")
