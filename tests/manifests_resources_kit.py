"""The custom resources that the manifests use, field by field: what their definitions on a cluster know, and no more.

Written from the API references of the Prometheus operator (monitoring.coreos.com v1 and v1alpha1), of Kubeflow's
profiles (kubeflow.org/v1) and of Kubeflow Trainer (trainer.kubeflow.org/v1alpha1).
Only fields that we use or are likely to; a new one is added here after a look into the reference.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Duration = Annotated[
    str, Field(pattern=r"^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?)$")
]
Host = Annotated[str, Field(pattern=r"^https?://[a-z0-9.-]+(:[0-9]+)?/.*$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Metadata(Strict):
    name: str
    namespace: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Requirement(Strict):
    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] = []


class Selector(Strict):
    matchLabels: dict[str, str] = {}
    matchExpressions: list[Requirement] = []


class Key(Strict):
    name: str
    key: str
    optional: bool = False


class Authorization(Strict):
    type: str = "Bearer"
    credentials: Key


class Endpoint(Strict):
    port: str
    path: str = "/metrics"
    scheme: Literal["http", "https"] = "http"
    interval: Duration
    scrapeTimeout: Duration
    honorLabels: bool = False
    authorization: Authorization | None = None


class ServiceMonitorSpec(Strict):
    jobLabel: str
    selector: Selector
    endpoints: list[Endpoint]


class PodMonitorSpec(Strict):
    jobLabel: str
    selector: Selector
    podMetricsEndpoints: list[Endpoint]


class Rule(Strict):
    alert: str
    expr: str
    for_: Duration = Field(alias="for")
    keep_firing_for: Duration | None = None
    labels: dict[str, str]
    annotations: dict[str, str]


class Group(Strict):
    name: str
    interval: Duration | None = None
    rules: list[Rule]


class PrometheusRuleSpec(Strict):
    groups: list[Group]


class Matcher(Strict):
    name: str
    value: str
    matchType: Literal["", "=", "!=", "=~", "!~"] = ""


class Route(Strict):
    receiver: str
    groupBy: list[str] = []
    groupWait: Duration | None = None
    groupInterval: Duration | None = None
    repeatInterval: Duration | None = None
    matchers: list[Matcher] = []
    continue_: bool = Field(default=False, alias="continue")
    routes: list["Route"] = []


class Http(Strict):
    authorization: Authorization | None = None
    followRedirects: bool = True


class Webhook(Strict):
    url: Host
    sendResolved: bool = True
    httpConfig: Http | None = None
    maxAlerts: int = 0


class Receiver(Strict):
    name: str
    webhookConfigs: list[Webhook] = []


class Inhibit(Strict):
    sourceMatch: list[Matcher]
    targetMatch: list[Matcher]
    equal: list[str] = []


class AlertmanagerConfigSpec(Strict):
    route: Route
    receivers: list[Receiver]
    inhibitRules: list[Inhibit] = []


class Owner(Strict):
    kind: Literal["User", "Group", "ServiceAccount"]
    name: str


class ProfileSpec(Strict):
    owner: Owner
    plugins: list[dict[str, Any]] = []
    resourceQuotaSpec: dict[str, Any] = {}


class MLPolicy(Strict):
    numNodes: int = Field(ge=1)
    torch: dict[str, Any] = Field(max_length=0)


class ReplicatedJob(Strict):
    """`template` is a Job's, which its schema checks."""

    name: str
    replicas: int = 1
    template: dict[str, Any]


class JobSetSpec(Strict):
    replicatedJobs: list[ReplicatedJob]


class JobSetTemplate(Strict):
    spec: JobSetSpec


class TrainingRuntimeSpec(Strict):
    mlPolicy: MLPolicy
    template: JobSetTemplate


SPECS: dict[tuple[str, str], type[Strict]] = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"): ServiceMonitorSpec,
    ("monitoring.coreos.com/v1", "PodMonitor"): PodMonitorSpec,
    ("monitoring.coreos.com/v1", "PrometheusRule"): PrometheusRuleSpec,
    ("monitoring.coreos.com/v1alpha1", "AlertmanagerConfig"): AlertmanagerConfigSpec,
    ("kubeflow.org/v1", "Profile"): ProfileSpec,
    ("trainer.kubeflow.org/v1alpha1", "TrainingRuntime"): TrainingRuntimeSpec,
}


def check(value: dict[str, Any]) -> None:
    """Raises pydantic.ValidationError for a field that the resource's definition does not know, or of another type."""
    assert value.keys() == {"apiVersion", "kind", "metadata", "spec"}
    Metadata.model_validate(value["metadata"])
    SPECS[value["apiVersion"], value["kind"]].model_validate(value["spec"])
