"""The trigger's policy: every obstacle, its order, and the reason that a person reads."""

from dataclasses import replace

import pytest

from parfocal.triggers.policy import HOUR, WEEK, Facts, TriggerConfig, calls, decide, key

NOW = 1_790_000_000.0
REFERENCE = "0123456789abcdef" * 4
READY = Facts(
    task="fundus", instrument="B", champion="3", epoch=REFERENCE, alarm=True, now=NOW, labelled=30, alarm_time=NOW - 60
)
CONFIG = TriggerConfig()
KEY = "fundus-B-v3-0123456789ab"


def test_an_alarm_with_enough_labels_starts() -> None:
    decision = decide(READY, CONFIG)
    assert (decision.action, decision.key, decision.needed) == ("start", KEY, 0)
    assert decision.reason == "B is in alarm since 2026-09-21 14:12 UTC, and 30 labelled cases are there"


def test_without_an_alarm_nothing_is_done() -> None:
    decision = decide(replace(READY, alarm=False), CONFIG)
    assert (decision.action, decision.reason) == ("none", "no alarm stands for B")


def test_traffic_that_declares_no_instrument_cannot_be_learned() -> None:
    decision = decide(replace(READY, instrument=""), CONFIG)
    assert decision.action == "none"
    assert "declare no instrument" in decision.reason


def test_without_a_champion_there_is_nothing_to_retrain() -> None:
    assert decide(replace(READY, champion=""), CONFIG).reason == "no champion of fundus is there to be retrained"


def test_a_duplicate_or_replayed_alert_starts_nothing() -> None:
    first = decide(READY, CONFIG)
    for seconds in (0, 1, 30 * WEEK):
        again = replace(READY, now=NOW + seconds, used_keys=frozenset({first.key, "fundus-A-v1-0"}), launches=(NOW,))
        decision = decide(again, CONFIG)
        assert (decision.action, decision.key) == ("none", first.key)
        assert first.key in decision.reason


@pytest.mark.parametrize(
    "other",
    [{"instrument": "C"}, {"champion": "4"}, {"epoch": "f" * 64}, {"epoch": f"{REFERENCE}-r1"}, {"task": "lung"}],
)
def test_another_instrument_champion_epoch_or_task_is_another_retrain(other: dict[str, str]) -> None:
    decision = decide(replace(READY, used_keys=frozenset({KEY}), **other), CONFIG)  # type: ignore[arg-type]
    assert decision.action == "start"
    assert decision.key != KEY


def test_the_key_is_the_same_whether_the_epoch_was_shortened_or_not() -> None:
    assert key("fundus", "B", "3", REFERENCE) == key("fundus", "B", "3", REFERENCE[:12]) == KEY
    assert key("fundus", "B", "3", f"{REFERENCE[:12]}-r2") == f"{KEY}-r2"


@pytest.mark.parametrize(("labelled", "needed"), [(0, 30), (29, 1)])
def test_with_fewer_labels_the_answer_is_label_these(labelled: int, needed: int) -> None:
    decision = decide(replace(READY, labelled=labelled), CONFIG)
    assert (decision.action, decision.needed) == ("label", needed)
    assert f"label {needed} more of its cases: {labelled} of 30 are there" in decision.reason


def test_enough_labels_are_enough_for_the_test_side_too() -> None:
    config = TriggerConfig(minimum_cases=10, minimum_test=15)
    assert decide(replace(READY, labelled=29), config).needed == 1
    assert decide(replace(READY, labelled=30), config).action == "start"
    assert decide(replace(READY, labelled=12), TriggerConfig(minimum_cases=10, minimum_test=5)).action == "start"


def test_one_retrain_at_a_time() -> None:
    decision = decide(replace(READY, running=("fundus-B-v2-0",)), CONFIG)
    assert decision.action == "wait"
    assert "fundus-B-v2-0" in decision.reason


def test_a_cooldown_is_waited_out_and_ends_on_time() -> None:
    config = TriggerConfig(cooldown_hours=6)
    decision = decide(replace(READY, launches=(NOW - 300 * HOUR, NOW - 5 * HOUR)), config)
    assert decision.action == "wait"
    assert decision.reason == "the last retrain on B was 5 hours ago; wait until 2026-09-21 15:13 UTC"
    assert decide(replace(READY, launches=(NOW - 6 * HOUR,)), config).action == "start"
    assert decide(replace(READY, launches=(NOW,)), TriggerConfig(cooldown_hours=0)).action == "start"


def test_a_launch_from_a_clock_that_was_ahead_does_not_wait_longer_than_the_cooldown() -> None:
    late = replace(READY, launches=(NOW + 1000 * HOUR,))
    assert "0 minutes ago" in decide(late, CONFIG).reason
    assert "wait until 2026-09-22" in decide(late, CONFIG).reason


def test_so_many_a_week_and_no_more() -> None:
    config = TriggerConfig(cooldown_hours=1, max_runs_a_week=2)
    launches = (NOW - WEEK + HOUR, NOW - 2 * HOUR, NOW - 2 * WEEK)
    decision = decide(replace(READY, launches=launches), config)
    assert decision.action == "wait"
    assert decision.reason == "2 retrains on B in seven days; wait until 2026-09-21 15:13 UTC"
    assert decide(replace(READY, launches=launches, now=NOW + HOUR), config).action == "start"


def test_a_dry_run_says_what_it_would_have_done_and_starts_nothing() -> None:
    config = TriggerConfig(dry_run=True)
    decision = decide(READY, config)
    assert (decision.action, decision.key) == ("none", KEY)
    assert decision.reason.startswith("dry run: would start a retrain of fundus on B; B is in alarm since")
    assert decide(replace(READY, labelled=3), config) == decide(replace(READY, labelled=3), CONFIG)


OBSTACLES = [
    ({"alarm": False}, "none"),
    ({"champion": ""}, "none"),
    ({"labelled": 1}, "label"),
    ({"running": ("x",)}, "wait"),
    ({"launches": (NOW - HOUR,)}, "wait"),
]


@pytest.mark.parametrize("index", range(len(OBSTACLES)))
def test_of_several_obstacles_the_one_that_lasts_longest_is_named(index: int) -> None:
    merged = {name: value for values, _ in OBSTACLES[index:] for name, value in values.items()}
    decision = decide(replace(READY, **merged), CONFIG)  # type: ignore[arg-type]
    alone = decide(replace(READY, **OBSTACLES[index][0]), CONFIG)  # type: ignore[arg-type]
    assert decision.action == OBSTACLES[index][1]
    assert decision.reason == alone.reason


def test_the_same_facts_have_the_same_decision() -> None:
    assert decide(READY, CONFIG) == decide(replace(READY), TriggerConfig())


POOR, FINE = {"quality": 0.62}, {"quality": 0.91}


@pytest.mark.parametrize(
    ("mode", "facts", "action", "said"),
    [
        ("drift", {"alarm": True, **FINE}, "start", "B is in alarm since 2026-09-21 14:12 UTC, and 30"),
        ("drift", {"alarm": False, **POOR}, "none", "no alarm stands for B"),
        (
            "quality",
            {"alarm": True, **FINE},
            "none",
            "but the predicted Dice of B, 0.91, is not below 0.8, and by this",
        ),
        ("quality", {"alarm": False, **POOR}, "start", "the predicted Dice of B is 0.62, below 0.8, and 30 labelled"),
        ("quality", {"alarm": True, "quality": None}, "none", "nothing predicts the Dice of B"),
        ("quality", {"alarm": False, "quality": 0.8}, "none", "0.80, is not below 0.8"),
        ("either", {"alarm": True, **FINE}, "start", "B is in alarm since 2026-09-21 14:12 UTC, and 30"),
        ("either", {"alarm": False, **POOR}, "start", "the predicted Dice of B is 0.62"),
        ("either", {"alarm": True, **POOR}, "start", "14:12 UTC and the predicted Dice of B is 0.62"),
        ("either", {"alarm": False, **FINE}, "none", "no alarm stands for B, and the predicted Dice of B, 0.91"),
    ],
)
def test_drift_quality_or_either_calls_for_a_retrain(
    mode: str, facts: dict[str, object], action: str, said: str
) -> None:
    config = TriggerConfig.parse({"mode": mode})
    decision = decide(replace(READY, **facts), config)  # type: ignore[arg-type]
    assert decision.action == action
    assert said in decision.reason
    asked = replace(READY, **facts)  # type: ignore[arg-type]
    assert calls(alarm=asked.alarm, quality=asked.quality, config=config) is (action == "start")


def test_quality_that_calls_meets_the_same_obstacles_and_has_the_same_key() -> None:
    config = TriggerConfig(mode="quality")
    poor = replace(READY, alarm=False, quality=0.5)
    assert decide(poor, config).key == KEY
    assert decide(replace(poor, labelled=3), config).action == "label"
    assert "below 0.8; label 27 more" in decide(replace(poor, labelled=3), config).reason
    assert decide(replace(poor, used_keys=frozenset({KEY})), config).action == "none"
    assert decide(replace(poor, launches=(NOW - HOUR,)), config).action == "wait"
