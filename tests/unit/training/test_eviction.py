"""SIGTERM is remembered while a checkpoint can still be written, and is the earlier listener's again afterwards."""

import os
import signal
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from parfocal.training.eviction import EXIT_CODE, Eviction

ALONE: Any = SimpleNamespace(world_size=1)


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def told() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_who_is_told_goes_on_until_asked_and_then_ends_with_143() -> None:
    eviction = Eviction(ALONE, heeded=True)
    with pytest.raises(SystemExit) as ended, eviction.heard():
        assert not eviction.asks(1)
        told()
        assert eviction.asks(2)
        eviction.leave()
    assert ended.value.code == EXIT_CODE == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_what_came_after_the_last_question_ends_it_all_the_same() -> None:
    with pytest.raises(SystemExit), Eviction(ALONE, heeded=True).heard():
        told()


def test_the_earlier_listener_is_told_and_says_how_it_ends() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as the demo and `parfocal up` have it
    with pytest.raises(KeyboardInterrupt), Eviction(ALONE, heeded=True).heard():
        told()
    assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler


@pytest.mark.parametrize("heeded", [True, False])
def test_nobody_listens_where_nothing_is_kept_or_the_signal_is_ignored(heeded: bool) -> None:
    listener = signal.SIG_IGN if heeded else signal.SIG_DFL
    signal.signal(signal.SIGTERM, listener)
    with Eviction(ALONE, heeded=heeded).heard():
        assert signal.getsignal(signal.SIGTERM) is listener


def test_another_thread_trains_without_listening() -> None:
    seen: list[object] = []

    def work() -> None:
        with Eviction(ALONE, heeded=True).heard():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]
