"""The provider's side of Pulumi's protocol: one method a verb, over the resource types.

Published behaviour is kept where a program or an operator can tell: what Check refuses, what replaces, what a
failed create leaves behind, AWS's own words in errors.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from infra.sandbox.provider import state as states
from infra.sandbox.provider.check import Setting, check
from infra.sandbox.provider.diff import Change, Difference, diff, with_replaced
from infra.sandbox.provider.failures import HalfMade, Telling, gone
from infra.sandbox.provider.invokes import invoke
from infra.sandbox.provider.resources import resource
from infra.sandbox.provider.resources.base import Resource
from infra.sandbox.provider.session import Aws
from infra.sandbox.provider.settings import BadSettings, parse
from infra.sandbox.provider.tags import changes as tag_changes
from infra.sandbox.provider.values import Props, has_unknown, plain, struct
from infra.sandbox.provider.waits import Deadline

# The Pulumi AWS release whose behaviour this follows; the engine compares it with what the program asks for.
VERSION = "7.51.1"
# The engine's own bound on parallel operations is below this.
THREADS = 256
# Structs with long user data and many nodes pass gRPC's 4 MB.
MAX_MESSAGE = 400 * 1024 * 1024


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """The servicer. It holds the settings of one Configure and its AWS clients."""

    def __init__(self) -> None:
        self._aws: Aws | None = None
        self._cancel = threading.Event()

    @property
    def aws(self) -> Aws:
        if self._aws is None:
            raise BadSettings("the provider was used before it was configured")
        return self._aws

    def Handshake(self, request: Any, context: Any) -> Any:
        return provider_pb2.ProviderHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetSchema(self, request: Any, context: Any) -> Any:
        return provider_pb2.GetSchemaResponse(schema="{}")

    def Cancel(self, request: Any, context: Any) -> Any:
        self._cancel.set()
        return empty_pb2.Empty()

    def CheckConfig(self, request: Any, context: Any) -> Any:
        news = plain(request.news)
        if has_unknown(news):
            return provider_pb2.CheckResponse(inputs=request.news)
        try:
            parse(news)
        except BadSettings as error:
            failure = provider_pb2.CheckFailure(reason=str(error))
            return provider_pb2.CheckResponse(inputs=request.news, failures=[failure])
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        olds, news = plain(request.olds), plain(request.news)
        changed = sorted(key for key in olds.keys() | news.keys() if olds.get(key) != news.get(key))
        kind = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=kind, diffs=changed)

    def Configure(self, request: Any, context: Any) -> Any:
        with Telling(context, "configuring"):
            settings = parse(plain(request.args))
            self._aws = Aws(settings)
            if not settings.skip_credentials_validation:
                self._aws.client("sts").get_caller_identity()
        return provider_pb2.ConfigureResponse(acceptSecrets=False, supportsPreview=True)

    def Invoke(self, request: Any, context: Any) -> Any:
        with Telling(context, f"invoking {request.tok}"):
            found = invoke(request.tok, self.aws, plain(request.args))
        return provider_pb2.InvokeResponse(**{"return": struct(found)})

    def Check(self, request: Any, context: Any) -> Any:
        kind, name = _named(request)
        with Telling(context, "checking"):
            setting = Setting(self.aws.region, self.aws.settings.default_tags, request.randomSeed)
            done = check(resource(kind).type, name, plain(request.olds), plain(request.news), setting)
        failures = [provider_pb2.CheckFailure(property=path, reason=reason) for path, reason in done.failures]
        return provider_pb2.CheckResponse(inputs=struct(done.inputs), failures=failures)

    def Diff(self, request: Any, context: Any) -> Any:
        with Telling(context, "comparing"):
            kind = resource(_named(request)[0])
            found = self._difference(kind, plain(request.olds), plain(request.news), list(request.ignoreChanges))
        return _diff_response(found)

    def Create(self, request: Any, context: Any) -> Any:
        token = _named(request)[0]
        inputs = plain(request.properties)
        with Telling(context, f"creating {token}"):
            kind = resource(token)
            if request.preview:
                return provider_pb2.CreateResponse(properties=struct(states.before_create(kind.type, inputs)))
            deadline = self._deadline(request.timeout or kind.type.timeouts.create)
            id = kind.create(self.aws, inputs, deadline)
        with HalfMade(context, f"creating {token} ({id})", id, inputs) as half:
            kind.settle(self.aws, id, inputs, deadline)
            half.state = self._read(kind, id, inputs) or {}
        if not half.state:
            context.abort(grpc.StatusCode.UNKNOWN, f"creating {token} ({id}): gone right after it was made")
        return provider_pb2.CreateResponse(id=id, properties=struct(half.state))

    def Read(self, request: Any, context: Any) -> Any:
        token = _named(request)[0]
        last, old_inputs = plain(request.properties), plain(request.inputs)
        with Telling(context, f"reading {token} ({request.id})"):
            kind = resource(token)
            known = {**kind.known_from_import(request.id), **old_inputs, **last}
            made = self._read(kind, request.id, known)
        if made is None:
            return provider_pb2.ReadResponse()
        inputs = states.inputs_of(kind.type, made, old_inputs)
        return provider_pb2.ReadResponse(id=request.id, properties=struct(made), inputs=struct(inputs))

    def Update(self, request: Any, context: Any) -> Any:
        token = _named(request)[0]
        old, new = plain(request.olds), plain(request.news)
        with Telling(context, f"updating {token} ({request.id})"):
            kind = resource(token)
            found = self._difference(kind, old, new, list(request.ignoreChanges))
            if request.preview:
                shown = states.before_update(kind.type, old, new, kind.recomputed(old, new, found.changed))
                return provider_pb2.UpdateResponse(properties=struct(shown))
            deadline = self._deadline(request.timeout or kind.type.timeouts.update)
        with HalfMade(context, f"updating {token} ({request.id})", request.id, new) as half:
            half.state = old
            self._update(kind, request.id, old, new, found.changed, deadline)
            half.state = self._read(kind, request.id, new) or {}
        if not half.state:
            context.abort(grpc.StatusCode.UNKNOWN, gone(request.urn))
        return provider_pb2.UpdateResponse(properties=struct(half.state))

    def Delete(self, request: Any, context: Any) -> Any:
        token = _named(request)[0]
        with Telling(context, f"deleting {token} ({request.id})"):
            kind = resource(token)
            deadline = self._deadline(request.timeout or kind.type.timeouts.delete)
            kind.delete(self.aws, request.id, plain(request.properties), deadline)
        return empty_pb2.Empty()

    def _deadline(self, seconds: float) -> Deadline:
        return Deadline(seconds, self._cancel)

    def _difference(self, kind: Resource, olds: Props, news: Props, ignored: list[str]) -> Difference:
        found = diff(kind.type, olds, news)
        if ignored:
            kept = tuple(each for each in found.changes if not _ignored(each, ignored))
            paths = tuple(sorted(each.path for each in kept if each.replaces))
            found = Difference(kept, paths, found.stables, found.delete_before_replace)
        more = kind.replaces(self.aws, olds, news, found.changed) if found.changes else set()
        return with_replaced(found, more) if more else found

    def _read(self, kind: Resource, id: str, known: Props) -> Props | None:
        found = kind.read(self.aws, id, known)
        if found is None:
            return None
        region = {"region": known.get("region") or self.aws.region} if kind.type.regional else {}
        return states.merged(kind.type, {**found, **region}, known, self.aws.settings.default_tags)

    def _update(
        self, kind: Resource, id: str, old: Props, new: Props, changed: frozenset[str], deadline: Deadline
    ) -> None:
        # Tags first and by themselves: a change of tags alone calls nothing else.
        if kind.type.tagged:
            added, removed = tag_changes(old.get("tagsAll") or {}, new.get("tagsAll") or {})
            if added or removed:
                kind.tag(self.aws, id, old, added, removed)
        rest = changed - {"tags", "tagsAll"}
        if rest:
            kind.update(self.aws, id, old, new, rest, deadline)


def _named(request: Any) -> tuple[str, str]:
    """Type token and logical name; the URN ends in `...$<type>::<name>`."""
    parts = request.urn.split("::", 3)
    return request.type or parts[2].rpartition("$")[2], request.name or parts[3]


def _ignored(change: Change, ignored: list[str]) -> bool:
    return any(change.path == path or change.path.startswith((f"{path}.", f"{path}[")) for path in ignored)


_KINDS = {
    ("add", False): provider_pb2.PropertyDiff.ADD,
    ("add", True): provider_pb2.PropertyDiff.ADD_REPLACE,
    ("delete", False): provider_pb2.PropertyDiff.DELETE,
    ("delete", True): provider_pb2.PropertyDiff.DELETE_REPLACE,
    ("update", False): provider_pb2.PropertyDiff.UPDATE,
    ("update", True): provider_pb2.PropertyDiff.UPDATE_REPLACE,
}


def _diff_response(found: Difference) -> Any:
    some = provider_pb2.DiffResponse.DIFF_SOME if found.changes else provider_pb2.DiffResponse.DIFF_NONE
    detailed = {each.path: provider_pb2.PropertyDiff(kind=_KINDS[each.what, each.replaces]) for each in found.changes}
    return provider_pb2.DiffResponse(
        changes=some,
        replaces=found.replaces,
        stables=found.stables,
        deleteBeforeReplace=found.delete_before_replace and bool(found.replaces),
        diffs=sorted(found.changed),
        detailedDiff=detailed,
        hasDetailedDiff=True,
    )


def serve() -> tuple[grpc.Server, int]:
    """A started server on a free port of 127.0.0.1, where the engine looks for it."""
    server = grpc.server(
        ThreadPoolExecutor(max_workers=THREADS),
        options=[("grpc.max_receive_message_length", MAX_MESSAGE), ("grpc.max_send_message_length", MAX_MESSAGE)],
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def main() -> None:
    """Serves until the engine says stop: it ends its plugins with SIGINT, and a traceback then would be noise."""
    server, port = serve()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    engine = os.getppid()
    # An engine that was killed says nothing: its plugins are then another's children.
    while not stopped.wait(1) and os.getppid() == engine:
        continue
    server.stop(grace=None)
