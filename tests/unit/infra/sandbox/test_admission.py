"""What the sandbox says to callers that AWS would not take, and how it reads; through a real server without hosts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from infra import sweep
from infra.cloud import Cloud
from infra.errors import CloudRefused, NotAdmitted
from infra.ledger import look
from infra.sandbox.faults import Faults
from infra.sandbox.rehearsal import credentials, deny

from ..served import served

FAULTS = Faults()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with served(tmp_path_factory.mktemp("aws"), FAULTS) as cloud:
        yield cloud


@pytest.fixture(autouse=True)
def _no_faults_left() -> Iterator[None]:
    yield
    FAULTS.set([])


def refusal(cloud: Cloud) -> CloudRefused:
    with pytest.raises(CloudRefused) as caught:
        sweep.live(cloud, "dev")
    return caught.value


@pytest.mark.parametrize(
    ("what", "of_ec2", "of_sts"),
    [
        ("expired", "the credentials have expired, or this machine's clock is off", "the credentials have expired"),
        ("unknown", "AWS does not know the credentials (AuthFailure)", "AWS does not know the credentials (Invalid"),
        ("clock", "the credentials have expired, or this machine's clock is off", "this machine's clock is off (Sign"),
    ],
)
def test_credentials_that_are_not_taken_are_told_in_one_line_by_every_service(
    cloud: Cloud, what: str, of_ec2: str, of_sts: str
) -> None:
    FAULTS.set([credentials(what, None)])
    error = refusal(cloud)
    assert isinstance(error, NotAdmitted) and str(error).startswith(f"AWS us-east-1  {of_ec2}")
    with pytest.raises(NotAdmitted) as caught:
        cloud.now()
    assert str(caught.value).startswith(f"AWS us-east-1  {of_sts}")
    assert len(look(cloud, ["us-east-1"]).unasked) < 4  # said once of each wording, not of each question


def test_a_right_that_is_missing_is_named(cloud: Cloud) -> None:
    FAULTS.set([deny("DescribeInstances", None)])
    said = "ec2:DescribeInstances is not allowed for user/sandbox (UnauthorizedOperation). Allow ec2:DescribeInstances"
    error = refusal(cloud)
    assert str(error).startswith(said) and not isinstance(error, NotAdmitted)


def test_a_region_that_is_not_enabled_is_told_from_credentials_that_are_wrong(cloud: Cloud) -> None:
    there = replace(cloud, region="me-central-1", _session=None, _clients={})
    assert str(refusal(there)).startswith("AWS me-central-1  region me-central-1 is not enabled for the account. ")
    assert look(there, ["me-central-1"]).unasked[0].startswith("me-central-1: region me-central-1 is not enabled")
    enabled = cloud.regions()
    assert "us-west-2" in enabled and "me-central-1" not in enabled


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "there are no AWS credentials. Give some"),
        ({"AWS_PROFILE": "prod"}, "there is no AWS profile prod. There are: dev."),
        ({"AWS_ACCESS_KEY_ID": "AKIA"}, "the credentials can't be used: Partial credentials found in env"),
    ],
)
def test_without_usable_credentials_nothing_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], said: str
) -> None:
    (tmp_path / "config").write_text("[profile dev]\nregion = us-east-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    error = refusal(Cloud("us-east-1"))
    assert isinstance(error, NotAdmitted) and str(error).startswith(f"AWS us-east-1  {said}")
