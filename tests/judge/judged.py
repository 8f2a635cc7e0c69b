"""Asks ms-swift itself: run with a node's python, cases on stdin, a verdict each on stdout. Not imported by tests.

A case is {"command": "swift sft", "args": {...}, "whole": bool}; a verdict null where ms-swift takes the arguments,
else what it says. As for a job, the arguments go through a YAML file and ms-swift's own reading of it. `whole` also
makes the argument object, which checks what goes together; without, the parser alone is asked, which needs no model.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import io
import json
import logging
import os
import sys
import tempfile
import types
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
        answers = [megatron_batch(case) if "batch" in case else verdict(maker, case) for case in cases]
    json.dump({"verdicts": answers, "table": maker.text(maker.table())}, verdicts)


def loaded(script: Path) -> types.ModuleType:
    module = types.ModuleType("swift_args")
    module.__file__ = str(script)
    importlib.machinery.SourceFileLoader("swift_args", str(script)).exec_module(module)
    return module


def verdict(maker: Any, case: dict[str, Any]) -> str | None:
    from swift.cli.main import parse_yaml_args
    from swift.utils import parse_args
    from swift.utils.utils import _patch_get_type_hints
    from transformers import HfArgumentParser

    Path("args.yaml").write_text(yaml.safe_dump(case["args"], allow_unicode=True), encoding="utf-8")
    argv = ["args.yaml"]
    owner = maker.at(maker.COMMANDS[case["command"]])
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parse_yaml_args(argv)
            if case["whole"]:
                _, rest = parse_args(owner, argv)
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
    return f"remaining_argv: {rest}" if rest else None


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
