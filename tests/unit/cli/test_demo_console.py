"""How the demo speaks: progress of a run, counters, the welcome, the closing table."""

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from parfocal.cli.demo import follow, tables, view


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What is printed, as into a file."""
    stream = io.StringIO()
    console = Console(file=stream, highlight=False, width=120, record=True)
    monkeypatch.setattr(view, "console", lambda: console)
    yield stream


def until(text: str, stream: io.StringIO) -> None:
    end = time.monotonic() + 60
    while text not in stream.getvalue():
        assert time.monotonic() < end, f"{text!r} is not in {stream.getvalue()!r}"
        time.sleep(0.01)


def test_a_growing_log_is_shown_once_each_with_its_unfinished_last_line(
    printed: io.StringIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "LOOK", 0.01)
    log = tmp_path / "output.log"
    half = json.dumps({"note": "pièce [two]"}, ensure_ascii=False).encode()
    with follow.following(log):
        time.sleep(0.03)  # the log is not there yet
        with log.open("wb", buffering=0) as stream:
            stream.write(b'\n{"note": "one"}\nno JSON\n3\n[]\n' + half[:13])  # cut in the middle of a letter
            until("one", printed)
            time.sleep(0.05)
            assert "two" not in printed.getvalue()
            stream.write(half[13:] + b'\n{"stage": "disc", "step": 40, "loss": 0.25}\n{"note": "three"}')
            until("step   40: loss 0.25", printed)
    assert [line.strip() for line in printed.getvalue().splitlines()] == [
        "one", "pièce [two]", "disc step   40: loss 0.25000", "three",
    ]  # fmt: skip


def test_a_tail_gives_an_unfinished_line_only_when_it_is_the_last(tmp_path: Path) -> None:
    file = tmp_path / "log"
    tail = follow.Tail(file)
    assert tail.lines() == []
    file.write_bytes(b"a\nb\nhal")
    assert tail.lines() == ["a", "b"]
    assert tail.lines() == []
    with file.open("ab") as stream:
        stream.write(b"f\nrest")
    assert tail.lines() == ["half"]
    assert tail.lines(last=True) == ["rest"]
    assert tail.lines(last=True) == []


def test_a_pipeline_in_this_process_looks_like_one_that_is_followed(printed: io.StringIO) -> None:
    reporter = follow.Lines()
    reporter.note("gate: [promote]")
    reporter.epoch("cup", 120, {"loss": 0.53998123, "dice/A": 0.5})
    shown = printed.getvalue().splitlines()
    logged = ({"note": "gate: [promote]"}, {"stage": "cup", "step": 120, "loss": 0.53998, "dice/A": 0.5})
    assert shown == [follow.event(json.dumps(values)) for values in logged]


def test_without_a_terminal_a_counter_prints_aligned_lines(printed: io.StringIO) -> None:
    with view.counter("case") as show:
        show(4, "a [b] 1.0")
        show(120, "a [b] 0.5")
    assert printed.getvalue() == "  case    4: a [b] 1.0\n  case  120: a [b] 0.5\n"


def test_on_a_terminal_a_counter_is_one_line_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80)
    monkeypatch.setattr(view, "console", lambda: console)
    with view.counter("case") as show:
        for done in range(1, 4):
            show(done, "[quiet]")
            time.sleep(0.12)
    assert "case    3: [quiet]" in stream.getvalue()
    assert "\x1b[2K" in stream.getvalue()  # the line is erased before it is written again
    assert stream.getvalue().count("\n") <= 1


def test_the_welcome_names_both_cameras_in_order_and_the_time(printed: io.StringIO, tmp_path: Path) -> None:
    view.welcome(tmp_path, "clinic [1]", "topcon", 8.4)
    text = " ".join(printed.getvalue().split())
    order = [text.index(word) for word in ("clinic [1]", "answers", "topcon comes", "raises", "Labels", "gate", "swap")]
    assert order == sorted(order)
    assert "about 8 minutes" in text
    assert str(tmp_path) in text


def test_streams_without_a_promise_can_be_shown(printed: io.StringIO) -> None:
    stream = {"name": "framing", "statistic": 12.34, "threshold": None, "alarm": False}
    assert view.streams({"streams": [stream]}) == "framing 12.3 of no threshold"
    assert view.streams({}) == ""
    view.alarm("B", [{**stream, "threshold": 8.0, "arl0": None, "alarm_at": 4}])
    assert "statistic 12.3 over 8.0 at case 4" in printed.getvalue()


def test_the_place_of_logs_is_said_where_there_are_some(printed: io.StringIO, tmp_path: Path) -> None:
    view.logs(tmp_path)
    assert printed.getvalue() == "everything that was started is stopped\n"
    (tmp_path / "state" / "runs").mkdir(parents=True)
    view.logs(tmp_path)
    assert str(tmp_path / "state" / "runs") in printed.getvalue()
    assert "pipelines" not in printed.getvalue()


def summary(outcome: str, alarm_at: int | None, path: str) -> dict[str, object]:
    alarm = {"known_cases": 200, "false_alarms": 0, "observations_to_alarm": alarm_at, "new_cases": 54}
    return {
        "alarm": {**alarm, "alarms_after_promotion": None},
        "trigger_path": path,
        "gate": {"decision": outcome},
        "champion": {"before": "1", "after": "1"},
        "swap": {"seconds": None, "failed_requests": 0},
        "requests": {"answered": 7, "failed": 2},
        "phases": {"images": 1.4, "initial": 20.0},
    }


@pytest.mark.parametrize(
    ("outcome", "alarm_at", "path", "camera"),
    [
        ("refuse", 4, "alertmanager", "alarm at case 4 (alertmanager)"),
        ("inconclusive", None, "by hand", "no alarm in 54 cases, so retrained by hand"),
    ],
)
def test_the_closing_table_tells_every_outcome(
    printed: io.StringIO, tmp_path: Path, outcome: str, alarm_at: int | None, path: str, camera: str
) -> None:
    tables.closing(tmp_path, summary(outcome, alarm_at, path))
    cells = [[cell.strip() for cell in line.split("│")[1:3]] for line in printed.getvalue().splitlines() if "│" in line]
    assert cells == [
        ["known camera", "200 cases, 0 alarms"],
        ["new camera", camera],
        ["gate", outcome],
        ["champion", "version 1 -> 1"],
        ["requests", "7 answered, 2 failed"],
    ]
    assert "images 1 s  initial 20 s" in printed.getvalue()
    assert f"{tmp_path / 'summary.json'}" in printed.getvalue()
