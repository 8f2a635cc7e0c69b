"""Policy documents: which mean the same, and how one is written."""

from __future__ import annotations

import json

import pytest

from infra.sandbox.provider.policy import equivalent, written

ONE = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["a:b"], "Resource": "*"}]}


@pytest.mark.parametrize(
    ("other", "equal"),
    [
        ({"Statement": {"Action": "a:b", "Resource": ["*"], "Effect": "Allow"}, "Version": "2012-10-17"}, True),
        ({**ONE, "Statement": [{**ONE["Statement"][0], "Action": "a:c"}]}, False),  # type: ignore[dict-item]
        ({**ONE, "Version": "2008-10-17"}, False),
    ],
)
def test_documents_are_compared_by_meaning(other: dict[str, object], equal: bool) -> None:
    assert equivalent(json.dumps(ONE), json.dumps(other, indent=4)) is equal


def test_a_document_is_written_as_the_published_provider_writes_it() -> None:
    indented, minified = written(
        {
            "statements": [
                {
                    "actions": ["ec2:A", "ec2:B"],
                    "resources": ["*"],
                    "principals": [{"type": "Service", "identifiers": ["ec2.amazonaws.com"]}],
                    "conditions": [{"test": "Bool", "variable": "aws:SecureTransport", "values": ["false"]}],
                }
            ]
        }
    )
    assert json.loads(indented) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["ec2:B", "ec2:A"],
                "Resource": "*",
                "Principal": {"Service": "ec2.amazonaws.com"},
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }
    assert json.loads(minified) == json.loads(indented) and "\n" not in minified
