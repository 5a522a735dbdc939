"""A wall clock and one that only counts, moved by hand while another thread reads them."""

from parfocal.core.clock import Steady


class Clocks:
    """Both of one reader move as one: it counts what the wall clock showed it last."""

    def __init__(self) -> None:
        self._offset, self._count = 1_699_999_950.0, 50.0
        self._seen = self._count

    def wall(self) -> float:
        self._seen = self._count
        return self._seen + self._offset

    def count(self) -> float:
        return self._seen

    def passes(self, seconds: float) -> None:
        self._count += seconds

    def is_set(self, seconds: float) -> None:
        self._offset += seconds

    def steady(self) -> Steady:
        return Steady(self.wall, self.count)
