"""How what goes wrong reaches the engine: AWS's words in a gRPC error, and half-made resources on record."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import any_pb2
from pulumi.runtime.proto import provider_pb2, status_pb2

from infra.sandbox.provider.invokes import UnknownFunction
from infra.sandbox.provider.resources import UnknownType
from infra.sandbox.provider.settings import BadSettings
from infra.sandbox.provider.values import Props, struct
from infra.sandbox.provider.waits import Cancelled, TimedOut, told


def gone(urn: str) -> str:
    """The bridge's words for an update of what is not there any more (pulumi-terraform-bridge, provider.go)."""
    return (
        f"Resource provider reported that the resource did not exist while updating {urn}.\n\nThis is usually a result "
        "of the resource having been deleted outside of Pulumi, and can often be fixed by running `pulumi refresh` "
        "before updating."
    )


class Telling:
    """Turns what goes wrong into a gRPC error whose text is AWS's, with what was being done before it."""

    def __init__(self, context: Any, doing: str) -> None:
        self.context, self.doing = context, doing

    def __enter__(self) -> Telling:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception) and _expected(error):
            self.context.abort(grpc.StatusCode.UNKNOWN, f"{self.doing}: {_words(error)}")


class HalfMade:
    """Records what exists when a step after the id fails: the engine keeps it and updates it on the next up.

    It is the bridge's answer where Terraform would taint (pulumi PR 1836): the id, the state so far, the reason.
    """

    def __init__(self, context: Any, doing: str, id: str, inputs: Props) -> None:
        self.context, self.doing, self.id, self.inputs = context, doing, id, inputs
        self.state: Props = {}

    def __enter__(self) -> HalfMade:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if not isinstance(error, Exception) or not _expected(error):
            return
        reason = f"{self.doing}: {_words(error)}"
        detail = provider_pb2.ErrorResourceInitFailed(
            id=self.id,
            properties=struct(self.state or self.inputs),
            inputs=struct(self.inputs),
            reasons=[reason],
        )
        packed = any_pb2.Any()
        packed.Pack(detail)
        status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=reason, details=[packed])
        self.context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        self.context.abort(grpc.StatusCode.UNKNOWN, reason)


def _expected(error: Exception) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError

    ours = (BadSettings, UnknownType, UnknownFunction, TimedOut, Cancelled, ValueError, RuntimeError)
    return isinstance(error, (ClientError, BotoCoreError, *ours))


def _words(error: Exception) -> str:
    from botocore.exceptions import ClientError

    if isinstance(error, ClientError):
        return told(error)
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
