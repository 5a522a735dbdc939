import socket
from pathlib import Path

import pytest
from kubeflow_kit import serving

from parfocal.adapters import kubeflow
from parfocal.adapters.kubeflow_remote import KubeflowLauncher, KubeflowSettings, submit
from parfocal.core.errors import OutsideServiceError, UsageError

ARGUMENTS = {"config": '{"seed":3}', "experience_uri": "s3://bucket/experience", "idempotency_key": "work-1"}


@pytest.fixture(autouse=True)
def nobody_elses_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """kfp reads a file in the home folder and the environment."""
    monkeypatch.setattr("kfp.Client._LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    for name in ("KF_PIPELINES_ENDPOINT", "KF_PIPELINES_OVERRIDE_EXPERIMENT_NAME", "PARFOCAL_KFP_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def initial() -> Path:
    return kubeflow.pipeline("initial")


def test_a_first_submit_makes_experiment_pipeline_version_and_run(initial: Path) -> None:
    with serving() as server:
        settings = KubeflowSettings(host=server.url, experiment="fundus")
        done = submit(initial, ARGUMENTS, name="initial-work-1", settings=settings)

    (run,) = server.runs
    assert (run.display_name, run.runtime_config.parameters) == ("initial-work-1", ARGUMENTS)
    assert [e.display_name for e in server.experiments] == ["fundus"]
    assert [(p.name, p.display_name) for p in server.pipelines] == [("parfocal-initial", "Parfocal: first model")]
    (version,) = server.versions
    assert version.display_name.startswith("Parfocal: first model (")
    assert run.pipeline_version_reference.pipeline_version_id == version.pipeline_version_id
    assert "kubernetes" in version.pipeline_spec["platform_spec"]["platforms"]
    assert done.created
    assert done.url == f"{server.url}/#/runs/details/{run.run_id}"


def test_the_same_file_is_uploaded_once_and_a_changed_one_as_another_version(initial: Path, tmp_path: Path) -> None:
    changed = tmp_path / "pipeline.yaml"
    changed.write_text(initial.read_text() + "# changed\n")
    with serving() as server:
        settings = KubeflowSettings(host=server.url)
        for name, file in (("a", initial), ("b", initial), ("c", changed)):
            submit(file, ARGUMENTS, name=name, settings=settings)

    assert (len(server.experiments), len(server.pipelines), len(server.versions), len(server.runs)) == (1, 1, 2, 3)
    assert len(server.said("POST", "/pipelines/upload_version")) == 2


def test_a_name_that_lives_is_not_started_twice_and_one_that_failed_is(initial: Path) -> None:
    with serving() as server:
        launcher = KubeflowLauncher(KubeflowSettings(host=server.url))
        first = launcher.launch(initial, ARGUMENTS, name="b-1")
        assert launcher.launch(initial, ARGUMENTS, name="b-1") == first
        assert not submit(initial, ARGUMENTS, name="b-1", settings=launcher.settings).created

        server.runs[0].state = "FAILED"
        second = launcher.launch(initial, ARGUMENTS, name="b-1")
    assert second != first
    assert len(server.runs) == 2


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("PENDING", "pending"),
        ("RUNNING", "running"),
        ("SUCCEEDED", "succeeded"),
        ("FAILED", "failed"),
        ("CANCELED", "cancelled"),
        ("CANCELING", "running"),
        ("RUNTIME_STATE_UNSPECIFIED", "pending"),
    ],
)
def test_the_state_of_a_run_is_told_in_the_launchers_words(initial: Path, theirs: str, ours: str) -> None:
    with serving() as server:
        launcher = KubeflowLauncher(KubeflowSettings(host=server.url))
        run_id = launcher.launch(initial, ARGUMENTS, name="b-1")
        server.runs[0].state = theirs
        assert launcher.state(run_id) == ours


def test_token_namespace_and_service_account_reach_a_server_of_several_users(initial: Path) -> None:
    with serving(token="secret", multi_user=True) as server:
        settings = KubeflowSettings(
            host=server.url, token="secret", namespace="clinic", service_account="pipeline-runner"
        )
        submit(initial, ARGUMENTS, name="b-1", settings=settings)

    assert server.experiments[0].namespace == "clinic"
    assert server.pipelines[0].namespace == "clinic"
    assert server.runs[0].service_account == "pipeline-runner"


def test_a_renewed_token_file_is_read_for_every_request(initial: Path, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("monday\n")
    with serving(token="monday") as server:
        launcher = KubeflowLauncher(KubeflowSettings(host=server.url, token_file=file))
        run_id = launcher.launch(initial, ARGUMENTS, name="b-1")
        server.token = "tuesday"
        with pytest.raises(OutsideServiceError):
            launcher.state(run_id)
        file.write_text("tuesday")
        assert launcher.state(run_id) == "pending"


@pytest.mark.parametrize("namespace", ["", "clinic"])
def test_a_refused_token_is_a_retryable_error_that_says_what_to_set(initial: Path, namespace: str) -> None:
    with serving(token="secret", multi_user=bool(namespace)) as server:
        settings = KubeflowSettings(host=server.url, token="wrong", namespace=namespace)
        with pytest.raises(OutsideServiceError, match="401") as raised:
            submit(initial, ARGUMENTS, name="b-1", settings=settings)
    assert "PARFOCAL_KFP_TOKEN" in raised.value.next
    assert "wrong" not in str(raised.value)


def test_a_server_that_is_not_there_is_a_retryable_error(initial: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        settings = KubeflowSettings(host=f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(OutsideServiceError, match="cannot be reached") as raised:
            submit(initial, ARGUMENTS, name="b-1", settings=settings)
    assert "PARFOCAL_KFP_HOST" in raised.value.next


def test_a_login_page_in_between_is_recognised(initial: Path) -> None:
    with serving() as server:
        server.broken = b"<html><title>Sign in</title></html>"
        with pytest.raises(OutsideServiceError, match="not from a Kubeflow Pipelines API"):
            submit(initial, ARGUMENTS, name="b-1", settings=KubeflowSettings(host=server.url))


def test_a_server_that_never_answers_is_given_up(initial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parfocal.adapters.kubeflow_remote.ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = KubeflowSettings(host=f"http://127.0.0.1:{silent.getsockname()[1]}", namespace="clinic")
        with pytest.raises(OutsideServiceError, match="cannot be reached"):
            submit(initial, ARGUMENTS, name="b-1", settings=settings, patience=0)


def test_wrong_arguments_are_refused_before_anything_is_sent(initial: Path) -> None:
    with serving() as server, pytest.raises(UsageError, match="without experience_uri; unknown experience"):
        submit(
            initial,
            {"config": "", "experience": "x", "idempotency_key": "k"},
            name="b-1",
            settings=KubeflowSettings(host=server.url),
        )
    assert server.requests == []


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARFOCAL_KFP_HOST", "https://kubeflow.example.org/pipeline")
    monkeypatch.setenv("PARFOCAL_KFP_TOKEN", "secret")
    settings = KubeflowSettings()
    assert settings.host == "https://kubeflow.example.org/pipeline"
    assert "secret" not in repr(settings)
