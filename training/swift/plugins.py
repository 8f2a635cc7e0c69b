"""What a plugin file registers with ms-swift, read from its text: it is never run here."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from training.findings import Finding

#: ms-swift's registry -> the argument whose names it holds (swift/rewards, swift/callbacks, ...).
REGISTRIES = {
    "orms": "reward_funcs",
    "rm_plugins": "reward_model_plugin",
    "multi_turns": "multi_turn_scheduler",
    "envs": "gym_env",
    "callbacks_map": "callbacks",
    "loss_map": "loss_type",
    "loss_scale_map": "loss_scale",
    "eval_metrics_map": "eval_metric",
    "optimizers_map": "optimizer",
    "tuners_map": "tuner_type",
    "agent_template_map": "agent_template",
}
#: Functions that register a model, a template, a data set: what they name is not read.
FUNCTIONS = {"register_model": "model_type", "register_template": "template", "register_dataset": "dataset"}


@dataclass(frozen=True)
class Plugins:
    """names: by argument, what the files register. open: arguments of which they may register more than can be read."""

    names: Mapping[str, frozenset[str]] = field(default_factory=dict)
    open: frozenset[str] = frozenset()

    def may_hold(self, argument: str, name: str) -> bool:
        return name in self.names.get(argument, ()) or argument in self.open


def read_plugins(files: Mapping[str, bytes]) -> tuple[Plugins, list[Finding]]:
    """files: each plugin's name as the job has it, and its content."""
    names: dict[str, set[str]] = {}
    unsure: set[str] = set()
    found: list[Finding] = []
    for file, content in files.items():
        try:
            tree = ast.parse(content)
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None)
            said = getattr(error, "msg", None) or str(error)
            where = f"{file}:{line}" if line else file
            found.append(Finding("error", "plugins", f"{where} is no Python: {said}", "Correct it"))
            continue
        registered = list(_registrations(tree))
        for argument, name in registered:
            if name is None:
                unsure.add(argument)
            else:
                names.setdefault(argument, set()).add(name)
        if not registered:
            what = f"{file} registers nothing that is seen in its text"
            found.append(Finding("warning", "plugins", what, "orms['my_reward'] = MyReward, say"))
    return Plugins({one: frozenset(all_) for one, all_ in names.items()}, frozenset(unsure)), found


def _registrations(tree: ast.AST) -> Iterator[tuple[str, str | None]]:
    """(argument, name) of each registration; the name is None where the text does not say it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Subscript) and (argument := REGISTRIES.get(_last_name(target.value))):
                    yield argument, _text(target.slice)
        elif isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Attribute) and called.attr in ("update", "setdefault"):
                if argument := REGISTRIES.get(_last_name(called.value)):
                    yield from _updated(argument, node)
            elif argument := FUNCTIONS.get(_last_name(called)):
                yield argument, None


def _updated(argument: str, call: ast.Call) -> Iterator[tuple[str, str | None]]:
    for one in call.args[:1]:
        if isinstance(one, ast.Dict):
            yield from ((argument, _text(key)) for key in one.keys)
        else:
            yield argument, _text(one)
    yield from ((argument, keyword.arg) for keyword in call.keywords)


def _last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _text(node: ast.AST | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
