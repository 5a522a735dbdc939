"""The annotation of a monitor, put together from its settings and parts."""

from __future__ import annotations

from parfocal_serving.monitor.annotate.annotation import Annotation, HandIn
from parfocal_serving.monitor.annotate.assistant import Assistant
from parfocal_serving.monitor.annotate.desk import Desk
from parfocal_serving.monitor.annotate.overview import Overview
from parfocal_serving.monitor.annotate.photographs import Photographs
from parfocal_serving.monitor.annotate.queue import Queue
from parfocal_serving.monitor.cases import CaseStore
from parfocal_serving.monitor.database import Database
from parfocal_serving.monitor.lead import Lead
from parfocal_serving.monitor.plan import Plan
from parfocal_serving.monitor.references import References
from parfocal_serving.monitor.settings import MonitorSettings

from parfocal.core.task import task as named_task


def build(
    settings: MonitorSettings,
    database: Database,
    references: References,
    cases: CaseStore,
    lead: Lead,
    plan: Plan,
    hand_in: HandIn,
) -> Annotation:
    """What the routes ask."""
    task, pictures = named_task(settings.task), Photographs(settings.state.resolve(), settings.task)
    assistant = Assistant(settings.segmenter_url, settings.token)
    queue = Queue(references, cases, plan, pictures)
    overview = Overview(database, queue, cases, assistant, lead, task)
    desk = Desk(database, pictures, task, lead.demand)
    return Annotation(desk, queue, overview, assistant, hand_in=hand_in, needed=plan.config.labels_needed)
