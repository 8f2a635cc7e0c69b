"""Asks ms-swift itself: run with a node's python, cases on stdin, a verdict each on stdout. Not imported by tests.

A case is {"command": "swift sft", "args": {...}, "whole": bool}; a verdict null where ms-swift takes the arguments,
else what it says. As for a job, the arguments go through a YAML file and ms-swift's own reading of it. `whole` also
makes the argument object, which checks what goes together; without, the parser alone is asked, which needs no model.
With "world": [nodes, processes a node, GPUs a node] it is made as on rank 0 of such a fleet; with "look": NAME the
verdict is what the object has under that name, of a method the type of what it returns.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import io
import json
import logging
import multiprocessing
import os
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "swift-args"


def main() -> None:
    cases = json.load(sys.stdin)
    verdicts = sys.stdout
    with contextlib.redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        maker = loaded(SCRIPT)
        maker.stand_in_for_megatron()
        from swift.utils import get_logger

        get_logger().setLevel(logging.CRITICAL)
        table = maker.text(maker.table())
        warm_up(maker)
        answers = [megatron_batch(case) if "batch" in case else verdict(maker, case) for case in cases]
    json.dump({"verdicts": answers, "table": table}, verdicts)


def warm_up(maker: Any) -> None:
    """What argument classes import when they are made, once for all processes that are forked from here."""
    for command in ("swift rlhf", "swift infer"):
        with contextlib.suppress(ValueError):
            maker.at(maker.COMMANDS[command])()
    from swift.trainers import TrainerFactory

    for place in TrainerFactory.TRAINING_ARGS_MAPPING.values():
        maker.at(place.rpartition(".")[0] + ":" + place.rpartition(".")[2])


def loaded(script: Path) -> types.ModuleType:
    module = types.ModuleType("swift_args")
    module.__file__ = str(script)
    importlib.machinery.SourceFileLoader("swift_args", str(script)).exec_module(module)
    return module


def verdict(maker: Any, case: dict[str, Any]) -> str | None:
    if case["whole"]:
        return apart(lambda: answer(maker, case))
    return answer(maker, case)


def apart(asking: Callable[[], Any]) -> Any:
    """In a process of its own: what ms-swift leaves in variables and process groups is no part of the next case."""
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe(duplex=False)
    child = fork.Process(target=lambda: theirs.send(asking()))
    child.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        child.join()
        return f"it died: {child.exitcode}"
    finally:
        child.join()


def answer(maker: Any, case: dict[str, Any]) -> str | None:
    from swift.cli.main import parse_yaml_args
    from swift.utils import parse_args
    from swift.utils.utils import _patch_get_type_hints
    from transformers import HfArgumentParser

    Path("args.yaml").write_text(yaml.safe_dump(case["args"], allow_unicode=True), encoding="utf-8")
    argv = ["args.yaml"]
    owner = maker.at(maker.COMMANDS[case["command"]])
    said = io.StringIO()
    made = None
    try:
        with contextlib.redirect_stderr(said):
            if world := case.get("world"):
                be_rank_0(*world)
            parse_yaml_args(argv)
            if case["whole"]:
                made, rest = parse_args(owner, argv)
            else:
                if owner not in PARSERS:
                    with _patch_get_type_hints():
                        PARSERS[owner] = HfArgumentParser([owner])
                _, rest = PARSERS[owner].parse_known_args(argv)
    except SystemExit:
        lines = said.getvalue().strip().splitlines()
        return lines[-1] if lines else "it printed its help and ended"
    except Exception as error:  # noqa: BLE001  what ms-swift raises is the answer
        return f"{type(error).__name__}: {error}"
    if rest:
        return f"remaining_argv: {rest}"
    if not case.get("look"):
        return None
    value = getattr(made, case["look"])
    return type(value()).__name__ if callable(value) else str(value)


def be_rank_0(nodes: int, processes: int, gpus: int) -> None:
    """As torchrun starts it, without the other ranks: torch's own stand-in for a process group, and GPUs by number."""
    import swift.arguments.deploy_args
    import swift.utils
    import torch.distributed
    from torch.testing._internal.distributed.fake_pg import FakeStore

    size = nodes * processes
    ranks = {"RANK": 0, "LOCAL_RANK": 0, "NODE_RANK": 0, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": processes}
    os.environ |= {name: str(value) for name, value in ranks.items()}
    torch.distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=size)
    for module in (swift.utils, swift.arguments.deploy_args):
        module.get_device_count = lambda: gpus


def megatron_batch(case: dict[str, Any]) -> str | None:
    """What megatron's own arithmetic says of a generation batch: two functions that need no megatron."""
    from swift.megatron.arguments.megatron_args import RLHFMegatronArgumentsMixin as Mixin

    asked = case["batch"]
    each, all_, micro = asked["num_generations"], asked["global_batch_size"], asked["micro_batch_size"]
    ranks = asked["world"] // asked["tensor_model_parallel_size"]
    given = (asked.get("generation_batch_size"), asked.get("steps_per_generation"))
    try:
        batch, _ = Mixin.resolve_generation_batch_size(*given, all_, each)
        Mixin.validate_batch_dp_alignment(batch, each, ranks, micro, asked["world"])
    except ValueError as error:
        return str(error)
    return None


PARSERS: dict[type, Any] = {}

if __name__ == "__main__":
    main()
