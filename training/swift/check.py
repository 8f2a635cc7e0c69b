"""A job's arguments beside ms-swift's own definitions: every finding at once, before anything costs.

Pure. Names are judged as argparse judges options (an unambiguous beginning of one is enough), values as its types do,
then the rules of `training.swift.rules` look at the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from training.findings import Finding, Severity
from training.swift.arguments import (
    VERSION,
    Table,
    Unreadable,
    options,
    parsed,
    similar,
    table,
    versions,
    words,
)  # fmt: skip
from training.swift.given import Given, World
from training.swift.names import IN_MEGATRON, IN_SWIFT, MEGATRON_RENAMED, RENAMED, RENAMED_VALUES
from training.swift.plugins import Plugins
from training.swift.rules import broken

#: What swift/cli/main.py takes out of the file before argparse sees it.
ENV = "ENV"


def check(
    command: str,
    args: Mapping[str, Any],
    *,
    version: str = VERSION,
    world: World | None = None,
    env: Mapping[str, str] | None = None,
    plugins: Plugins | None = None,
) -> list[Finding]:
    """Everything that is wrong with `swift sft` and its args. command: "swift sft", "megatron rlhf", ...

    world: the processes that will run it; without it nothing that needs their number is checked.
    env: variables of the job; NPROC_PER_NODE and the like are no part of it.
    plugins: what the job's plugins register. Without them, a job that names plugins may use any name.
    """
    if version not in versions():
        what = f"ms-swift {version} is not one whose arguments are known here ({', '.join(versions())})"
        return [Finding("note", "ms_swift", f"{what}: args are not checked", "scripts/swift-args makes its table")]
    known = table(version)
    arguments = known.commands[command]
    found: list[Finding] = []
    values: dict[str, Any] = {}
    unread: set[str] = set()
    lenient = str(args.get("ignore_args_error", "")).lower() in ("true", "1", "yes")
    for key, value in args.items():
        if key == ENV:
            found += _env(value)
            continue
        name, said = _name(str(key), command, known, lenient)
        found += said
        if name is None:
            continue
        if name in values or name in unread:
            found.append(Finding("warning", f"args.{key}", f"{name} is given twice: the last one holds"))
        try:
            values[name] = parsed(arguments[name], value)
            unread.discard(name)
        except Unreadable as error:
            unread.add(name)
            found.append(_value(name, str(key), value, error))
    given = Given(command, arguments, values, frozenset(unread), world, env or {})
    return [*found, *_unregistered(given, known, plugins or Plugins()), *broken(given)]


def _name(key: str, command: str, known: Table, lenient: bool) -> tuple[str | None, list[Finding]]:
    """The argument that a key stands for, and what there is to say of the key."""
    there = options(known.commands[command])
    where = f"args.{key}"
    if name := there.get(key):
        if name != key and key.replace("-", "_") != name:
            return None, [
                Finding("error", where, "an option that takes no value can't stand in a file", f"{name}: false")
            ]
        return name, []
    if key == "help":
        return None, [Finding("error", where, "it would print help and end", "Take it out")]
    began = sorted(option for option in there if option.startswith(key))
    if len(began) == 1 and (name := there[began[0]]) and name == began[0].replace("-", "_"):
        return name, [
            Finding("warning", where, f"an abbreviation of {name}", f"Write {name}: a new release may break it")
        ]
    severity: Severity = "warning" if lenient and not began else "error"
    return None, [Finding(severity, where, f"{command} has no argument {key}", _instead(key, command, known))]


def _instead(key: str, command: str, known: Table) -> str:
    """What to write instead of an argument that the command does not have."""
    name = key.replace("-", "_")
    trainer = command.split()[0]
    mine = known.commands[command]
    if name in mine:
        return f"Write {name}"
    renamed = (MEGATRON_RENAMED if trainer == "megatron" else RENAMED).get(name)
    if renamed and (renamed in mine or " " in renamed):
        return renamed if " " in renamed else f"It is {renamed} now"
    near = similar(name, mine)
    others = known.having(name)
    same = [one for one in others if one.split()[0] == trainer]
    if others and not same and (counterpart := (IN_MEGATRON if trainer == "megatron" else IN_SWIFT).get(name)):
        return f"It is {others[0].split()[0]}'s: {trainer} has {counterpart}"
    if others:
        does = ", ".join(same or others)
        return f"{does} {'have' if ',' in does else 'has'} it"
    near = near or [one for one in mine if one.startswith(name)][:3]
    return f"Did you mean {' or '.join(near)}?" if near else f"fleet args {command} lists what there is"


def _value(name: str, key: str, value: Any, error: Unreadable) -> Finding:
    (word, *_) = [*words(value), ""]
    what, _, fix = f"{name} {error}".partition(". ")
    if right := RENAMED_VALUES.get((name, word)):
        fix = f"Write {right}"
    return Finding("error", f"args.{key}", what, fix)


def _unregistered(given: Given, known: Table, plugins: Plugins) -> Iterator[Finding]:
    """Values of free text for which ms-swift has names, where none of them is meant.

    A plugin may register more than its text says: a name that no plugin is seen to register is no error then.
    """
    plugged = bool(plugins.names or plugins.open) or any(
        given.values.get(one) for one in ("external_plugins", "custom_register_path")
    )
    for name, names in known.registered.items():
        if name not in given or given.arguments[name].choices or not _closed(given, name):
            continue
        value = given[name]
        for one in value if isinstance(value, list) else [value]:
            if one in names or plugins.may_hold(name, one):
                continue
            near = similar(one, names)
            right = RENAMED_VALUES.get((name, one)) or (f"{name}: {near[0]}" if near else "")
            fix = f"Write {right}" if right else f"There is {', '.join(names[:12])}{' ...' if len(names) > 12 else ''}"
            others = " nor the plugins'" if plugged else ""
            what = f"{name} {one!r} is not among ms-swift's own{others}"
            yield Finding("warning" if plugged else "error", f"args.{name}", what, fix)


def _closed(given: Given, name: str) -> bool:
    """Whether an argument takes only registered names in this command. rlhf's loss_type is the trainer's own affair,
    megatron has callbacks and losses of its own, and a template or agent_template may be a path."""
    trainer = given.command.split()[0]
    if name == "loss_type":
        return given.command in ("swift sft", "swift pt")
    return trainer == "swift" or name in ("model_type", "template")


def _env(value: Any) -> list[Finding]:
    where = f"args.{ENV}"
    if not isinstance(value, Mapping):
        return [Finding("error", where, "ENV is a mapping of variables to values", "Write them under env: of the job")]
    return [Finding("note", where, "ms-swift sets these variables itself", "env: of the job does so for all ranks")]
