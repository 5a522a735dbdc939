"""Every route of a Kubeflow Pipelines API in every mood: what is asked again, what is not, and in which words."""

import time
from pathlib import Path

import pytest
from kubeflow_kit import CUT, LOST, SILENCE, Server, serving

from parfocal.adapters import kubeflow_answers, kubeflow_remote
from parfocal.adapters.kubeflow_answers import BusyError, RefusedError
from parfocal.adapters.kubeflow_remote import KubeflowLauncher, KubeflowSettings, submit
from parfocal.adapters.kubeflow_schedule import schedule
from parfocal.core.errors import OutsideServiceError, UsageError

ARGUMENTS = {"config": '{"seed":3}', "experience_uri": "s3://bucket/experience", "idempotency_key": "work-1"}
BY_THE_CLOCK = {**ARGUMENTS, "idempotency_key": "tiny-[[ScheduledTime]]"}
TINY = """
pipelineInfo: {name: parfocal-tiny, displayName: 'Parfocal: tiny'}
root:
  dag: {tasks: {}}
  inputDefinitions:
    parameters:
      config: {parameterType: STRING}
      experience_uri: {parameterType: STRING}
      idempotency_key: {parameterType: STRING}
schemaVersion: 2.1.0
sdkVersion: kfp-2.17.0
"""
SUBMITTING = (
    "list_experiments", "create_experiment", "list_runs", "list_pipelines", "create_pipeline", "list_versions",
    "upload_version", "create_run",
)  # fmt: skip
MAKING = ("create_experiment", "create_pipeline", "upload_version", "create_run")
PASSING: tuple[int | str, ...] = (429, 500, 502, 503, 504, SILENCE, CUT)
FINAL = (400, 403, 404, 409, 410)


@pytest.fixture(autouse=True)
def quick_and_nobody_elses_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """kfp reads a file in the home folder and the environment."""
    monkeypatch.setattr("kfp.Client._LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    for name in ("KF_PIPELINES_ENDPOINT", "KF_PIPELINES_OVERRIDE_EXPERIMENT_NAME", "PARFOCAL_KFP_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(kubeflow_answers, "FIRST_PAUSE", 0.01)


@pytest.fixture(autouse=True)
def impatient_where_nobody_answers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "mood" in request.fixturenames and request.getfixturevalue("mood") == SILENCE:
        monkeypatch.setattr(kubeflow_remote, "ANSWER_SECONDS", 0.4)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    file = tmp_path / "tiny" / "pipeline.yaml"
    file.parent.mkdir()
    file.write_text(TINY)
    return file


def at(server: Server) -> KubeflowSettings:
    return KubeflowSettings(host=server.url, namespace="clinic")


def counts(server: Server) -> tuple[int, int, int, int]:
    return len(server.experiments), len(server.pipelines), len(server.versions), len(server.runs)


@pytest.mark.parametrize("route", SUBMITTING)
@pytest.mark.parametrize("mood", PASSING)
def test_what_passes_is_asked_again_and_nothing_is_made_twice(tiny: Path, route: str, mood: int | str) -> None:
    with serving(multi_user=True) as server:
        server.moods[route] = [mood]
        assert submit(tiny, ARGUMENTS, name="b-1", settings=at(server)).run_id == "run-0"
        assert not server.moods[route]
        assert counts(server) == (1, 1, 1, 1)


@pytest.mark.parametrize("route", SUBMITTING)
@pytest.mark.parametrize("mood", [429, SILENCE, CUT])
def test_who_launches_is_told_at_once_that_it_may_go_later(tiny: Path, route: str, mood: int | str) -> None:
    with serving(multi_user=True) as server:
        launcher = KubeflowLauncher(at(server))
        server.moods[route], server.retry_after = [mood], "7"
        with pytest.raises(BusyError) as raised:
            launcher.launch(tiny, ARGUMENTS, name="b-1")
        assert raised.value.next
        assert raised.value.after == (7.0 if isinstance(mood, int) else None)
        launcher.launch(tiny, ARGUMENTS, name="b-1")
        assert counts(server) == (1, 1, 1, 1)


@pytest.mark.parametrize("route", MAKING)
def test_what_was_made_without_an_answer_is_found_and_not_made_again(tiny: Path, route: str) -> None:
    with serving(multi_user=True) as server:
        server.moods[route] = [LOST]
        submit(tiny, ARGUMENTS, name="b-1", settings=at(server))
        assert counts(server) == (1, 1, 1, 1)


@pytest.mark.parametrize("route", SUBMITTING)
@pytest.mark.parametrize("status", FINAL)
def test_a_refusal_is_final_and_has_the_servers_own_words(tiny: Path, route: str, status: int) -> None:
    with serving(multi_user=True) as server:
        server.moods[route] = [status] * 3
        with pytest.raises(RefusedError, match=f"{route} says {status}") as raised:
            submit(tiny, ARGUMENTS, name="b-1", settings=at(server))
        assert (raised.value.status, bool(raised.value.next)) == (status, True)
        assert len(server.moods[route]) == (1 if status == 409 else 2), "a conflict alone is worth a second look"
        assert server.runs == []


@pytest.mark.parametrize("route", SUBMITTING)
def test_an_account_that_is_not_known_is_told_what_to_set(tiny: Path, route: str) -> None:
    with serving(multi_user=True) as server:
        server.moods[route] = [401]
        with pytest.raises(OutsideServiceError, match=f"{route} says 401") as raised:
            submit(tiny, ARGUMENTS, name="b-1", settings=at(server))
        assert "PARFOCAL_KFP_TOKEN" in raised.value.next
        assert not isinstance(raised.value, BusyError)


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ("create_experiment", "the experiment 'parfocal' is not at Kubeflow"),
        ("create_pipeline", "version parfocal-tiny-.* of pipeline parfocal-tiny is not at Kubeflow"),
        ("upload_version", "version parfocal-tiny-.* of pipeline parfocal-tiny is not at Kubeflow"),
    ],
)
def test_what_the_monitor_may_not_upload_is_named_with_the_page_that_helps(tiny: Path, route: str, said: str) -> None:
    with serving(multi_user=True) as server:
        server.moods[route] = [403]
        with pytest.raises(RefusedError, match=said) as raised:
            KubeflowLauncher(at(server)).launch(tiny, ARGUMENTS, name="b-1")
    assert "docs/cluster.md, step 4" in raised.value.next


def test_a_conflict_is_somebody_who_made_the_same_at_this_moment(tiny: Path) -> None:
    with serving(multi_user=True) as server:
        server.moods["create_experiment"] = [409]
        assert submit(tiny, ARGUMENTS, name="b-1", settings=at(server)).created


@pytest.mark.parametrize("mood", [400, 401, 403, 409, 429, 500, 503, SILENCE, CUT])
def test_a_run_of_which_nothing_is_heard_is_not_lost(tiny: Path, mood: int | str) -> None:
    with serving(multi_user=True) as server:
        launcher = KubeflowLauncher(at(server))
        run_id = launcher.launch(tiny, ARGUMENTS, name="b-1")
        server.moods["get_run"] = [mood]
        with pytest.raises(OutsideServiceError):
            launcher.state(run_id)
        assert launcher.state(run_id) == "pending"


def test_a_run_that_was_deleted_is_no_run_any_more_and_a_proxys_404_says_nothing_of_it(tiny: Path) -> None:
    with serving(multi_user=True) as server:
        launcher = KubeflowLauncher(at(server))
        run_id = launcher.launch(tiny, ARGUMENTS, name="b-1")
        server.moods["get_run"], server.page = [404], b"<html>default backend - 404</html>"
        with pytest.raises(OutsideServiceError, match="404"):
            launcher.state(run_id)
        other = KubeflowLauncher(KubeflowSettings(host=f"{server.url}/pipeline", namespace="clinic"))
        with pytest.raises(OutsideServiceError, match="404"):
            other.state(run_id)
        server.runs.clear()
        with pytest.raises(UsageError, match="somebody deleted it"):
            launcher.state(run_id)


@pytest.mark.parametrize("route", ["list_recurring", "create_recurring"])
@pytest.mark.parametrize("mood", [*PASSING, *FINAL, 401])
def test_a_recurring_run_in_every_mood(tiny: Path, route: str, mood: int | str) -> None:
    with serving(multi_user=True) as server:
        server.moods[route] = [mood] if mood in PASSING else [mood, mood]
        if mood in PASSING:
            made = schedule(tiny, BY_THE_CLOCK, name="m", cron="0 3 1 * *", settings=at(server))
            assert (made.recurring_run_id, len(server.recurring)) == ("recurring-0", 1)
        else:
            with pytest.raises(OutsideServiceError if mood == 401 else RefusedError, match=f"{route} says {mood}"):
                schedule(tiny, BY_THE_CLOCK, name="m", cron="0 3 1 * *", settings=at(server))


def test_a_recurring_run_whose_answer_was_lost_is_made_once(tiny: Path) -> None:
    with serving(multi_user=True) as server:
        server.moods["create_recurring"] = [LOST]
        assert not schedule(tiny, BY_THE_CLOCK, name="m", cron="0 3 1 * *", settings=at(server)).created
        assert len(server.recurring) == 1


@pytest.mark.parametrize("asked_for", ["0.3", "3600"])
def test_a_busy_server_is_left_alone_for_as_long_as_it_asks_and_no_longer_than_we_wait(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, asked_for: str
) -> None:
    monkeypatch.setattr(kubeflow_answers, "retry_after", float)
    with serving(multi_user=True) as server:
        server.moods["list_runs"], server.retry_after = [429], asked_for
        began = time.monotonic()
        if asked_for == "3600":
            with pytest.raises(BusyError, match="429"):
                submit(tiny, ARGUMENTS, name="b-1", settings=at(server), patience=1)
            assert time.monotonic() - began < 60
        else:
            submit(tiny, ARGUMENTS, name="b-1", settings=at(server), patience=60)
            assert time.monotonic() - began > 0.3
