"""A pipeline that Kubeflow starts by the clock: a recurring run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parfocal.adapters.kubeflow_answers import patiently
from parfocal.adapters.kubeflow_remote import PATIENCE, KubeflowSettings, asked, connected
from parfocal.adapters.kubeflow_spec import Compiled
from parfocal.adapters.kubeflow_there import answered, experiment, named, or_none, uploaded
from parfocal.core.errors import UsageError

TIME = "[[ScheduledTime]]"
"""Kubeflow puts the time for which a run was meant in its place, in every argument: 20261121180000, in UTC."""


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A recurring run. `created` is False when the very same one was there."""

    recurring_run_id: str
    url: str
    created: bool


def schedule(
    pipeline: Path, arguments: Mapping[str, str], *, name: str, cron: str, settings: KubeflowSettings | None = None
) -> Scheduled:
    """Have Kubeflow start a pipeline by the clock: one run at a time, and none for a time that was missed.

    Args:
        arguments: exactly those of the pipeline. The idempotency key has the time in it, so that each run is a piece
            of work of its own.
        name: of the recurring run.
        cron: five fields (minute, hour, day, month, weekday), or six with the second in front; the server's time zone.

    Raises:
        UsageError: the arguments are not the pipeline's, every run would have the same key, the pipeline takes a
            champion that would be old by then, or another recurring run has that name.
        OutsideServiceError: the API cannot be reached, or refuses.
    """
    spec = Compiled.read(pipeline)
    values, fields = _checked(spec, arguments), _fields(cron)
    settings = settings or KubeflowSettings()
    made, created, same = patiently(lambda: _scheduled(spec, values, name, fields, settings), PATIENCE)
    if not same:
        raise UsageError(
            f"there is another recurring run '{name}'",
            where=settings.host,
            next="delete it on Kubeflow's page, or give this one another name (--name)",
        )
    url = f"{settings.host.rstrip('/')}/#/recurringrun/details/{made.recurring_run_id}"
    return Scheduled(str(made.recurring_run_id), url, created)


def _scheduled(
    spec: Compiled, values: dict[str, Any], name: str, fields: str, settings: KubeflowSettings
) -> tuple[Any, bool, bool]:
    """The recurring run of that name, whether it was made now, and whether it is what was asked for."""
    with asked(settings):
        client = connected(settings)
        experiment_id = experiment(client, settings.experiment, settings.namespace)
        pipeline_id, version_id = uploaded(client, spec, settings.namespace)
        found = _found(client, experiment_id, name, settings)
        made = found or answered(
            client.create_recurring_run(
                experiment_id=experiment_id,
                job_name=name,
                description=spec.description,
                cron_expression=fields,
                max_concurrency=1,
                no_catchup=True,
                params=values,
                pipeline_id=pipeline_id,
                version_id=version_id,
                service_account=or_none(settings.service_account),
            )
        )
        return made, found is None, found is None or _means(made) == (version_id, fields, values)


def _checked(spec: Compiled, arguments: Mapping[str, str]) -> dict[str, Any]:
    values = spec.check(arguments)
    if "champion_uri" in values:
        raise UsageError(
            f"{spec.name} is given a champion, which may be another by the time it runs",
            next="schedule `fleet`: it finds the champion by its alias when it runs",
        )
    if TIME[:-2] not in values["idempotency_key"]:
        raise UsageError(
            "every run would have the same key, and only the first would do anything",
            where="idempotency_key",
            expected=f"{TIME} in it",
        )
    return values


def _fields(cron: str) -> str:
    """Kubeflow wants the second too."""
    fields = cron.split()
    if len(fields) not in (5, 6):
        raise UsageError(f"this is no schedule: '{cron}'", expected="five fields, such as '0 3 1 * *': the 1st at 3:00")
    return " ".join(fields if len(fields) == 6 else ["0", *fields])


def _found(client: Any, experiment_id: str, name: str, settings: KubeflowSettings) -> Any:
    answer = client.list_recurring_runs(
        experiment_id=experiment_id, filter=named(name), namespace=or_none(settings.namespace), page_size=100
    )
    return next(iter(answer.recurring_runs or []), None)


def _means(made: Any) -> tuple[str, str, dict[str, Any]]:
    """Which version, when and with which arguments."""
    version, schedule_ = made.pipeline_version_reference, made.trigger.cron_schedule
    return version.pipeline_version_id, schedule_.cron, dict(made.runtime_config.parameters or {})
