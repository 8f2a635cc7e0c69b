"""CloudWatch's metric alarms on one metric (terraform-provider-aws cloudwatch/metric_alarm.go)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.sandbox.provider import tags
from infra.sandbox.provider.resources.base import Resource
from infra.sandbox.provider.resources.rules import arn
from infra.sandbox.provider.schema import (
    Autoname,
    Failure,
    ResourceType,
    flag,
    integer,
    names,
    number,
    string_map,
    text,
)
from infra.sandbox.provider.session import Aws
from infra.sandbox.provider.values import Props
from infra.sandbox.provider.waits import Deadline, tolerating

GONE = ("ResourceNotFoundException", "ResourceNotFound")
COMPARISONS = (
    "GreaterThanThreshold",
    "GreaterThanOrEqualToThreshold",
    "LessThanThreshold",
    "LessThanOrEqualToThreshold",
)
STATISTICS = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
_PLAIN = {
    "name": "AlarmName",
    "comparisonOperator": "ComparisonOperator",
    "evaluationPeriods": "EvaluationPeriods",
    "metricName": "MetricName",
    "namespace": "Namespace",
    "period": "Period",
    "statistic": "Statistic",
    "extendedStatistic": "ExtendedStatistic",
    "threshold": "Threshold",
    "treatMissingData": "TreatMissingData",
    "datapointsToAlarm": "DatapointsToAlarm",
    "actionsEnabled": "ActionsEnabled",
    "alarmActions": "AlarmActions",
    "okActions": "OKActions",
    "insufficientDataActions": "InsufficientDataActions",
    "alarmDescription": "AlarmDescription",
    "unit": "Unit",
}


def _one_statistic(inputs: Props) -> list[Failure]:
    if inputs.get("metricName") and not inputs.get("statistic") and not inputs.get("extendedStatistic"):
        return [("statistic", "with metricName one of statistic and extendedStatistic is needed")]
    return []


class MetricAlarm(Resource):
    service = "cloudwatch"
    type = ResourceType(
        token="aws:cloudwatch/metricAlarm:MetricAlarm",
        inputs={
            "name": text(computed=True, force_new=True, length=(1, 255)),
            "comparisonOperator": text(required=True, enum=COMPARISONS),
            "evaluationPeriods": integer(required=True, bounds=(1, 1440)),
            "metricName": text(length=(1, 255)),
            "namespace": text(length=(1, 255)),
            "period": integer(bounds=(10, 604800)),
            "statistic": text(conflicts=("extendedStatistic",), enum=STATISTICS),
            "extendedStatistic": text(conflicts=("statistic",)),
            "threshold": number(),
            "dimensions": string_map(),
            "treatMissingData": text(default="missing", enum=("breaching", "notBreaching", "ignore", "missing")),
            "datapointsToAlarm": integer(bounds=(1, 1440)),
            "actionsEnabled": flag(default=True),
            "alarmActions": names(check=arn),
            "okActions": names(check=arn),
            "insufficientDataActions": names(check=arn),
            "alarmDescription": text(length=(0, 1024)),
            "unit": text(),
        },
        outputs=("arn",),
        autoname=Autoname("name"),
        tagged=True,
        elsewhere=("metricQueries", "thresholdMetricId", "evaluateLowSampleCountPercentiles", "evaluationCriteria"),
        validate=_one_statistic,
    )

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        self.client(aws, inputs).put_metric_alarm(**_request(inputs), Tags=tags.to_aws(inputs["tagsAll"]))
        return str(inputs["name"])

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        cloudwatch = self.client(aws, known)
        found = cloudwatch.describe_alarms(AlarmNames=[id])["MetricAlarms"]
        if not found:
            return None
        (alarm,) = found
        read = {key: alarm[name] for key, name in _PLAIN.items() if name in alarm}
        read["dimensions"] = {one["Name"]: one["Value"] for one in alarm.get("Dimensions", [])}
        read["arn"] = alarm["AlarmArn"]
        listed = cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]
        return read | {"tagsAll": tags.from_aws(listed)}

    def update(self, aws: Aws, id: str, old: Props, new: Props, changed: frozenset[str], deadline: Deadline) -> None:
        self.client(aws, new).put_metric_alarm(**_request(new))

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        with tolerating(*GONE):
            self.client(aws, state).delete_alarms(AlarmNames=[id])

    def tag(self, aws: Aws, id: str, state: Props, added: Mapping[str, str], removed: list[str]) -> None:
        cloudwatch = self.client(aws, state)
        if removed:
            cloudwatch.untag_resource(ResourceARN=state["arn"], TagKeys=removed)
        if added:
            cloudwatch.tag_resource(ResourceARN=state["arn"], Tags=tags.to_aws(added))


def _request(inputs: Props) -> dict[str, Any]:
    """PutMetricAlarm takes the full content each time; a threshold that is not given is 0."""
    sent = {name: inputs[key] for key, name in _PLAIN.items() if inputs.get(key) not in (None, "", [])}
    sent.setdefault("Threshold", 0.0)
    dimensions = inputs.get("dimensions") or {}
    return sent | {"Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()]}
