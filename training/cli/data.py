"""fleet data check: training data beside what ms-swift makes of it, asked without a fleet."""

from __future__ import annotations

from pathlib import Path

import click

from training.cli import options


@click.group()
def data() -> None:
    """Look at training data before a machine is made."""


@data.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--task", metavar="TASK", default="sft", show_default=True, help="What the rows are for: pt, dpo, kto, grpo, ..."
)
@options.json
def check(files: tuple[Path, ...], task: str, as_json: bool) -> int:
    """Say what is wrong with the rows of FILE: its format, each line that would be dropped or fail, what gets lost.

    Reads every row, on all cores, in constant memory. Exit code 2 where there is an error, or a file can't be read.
    """
    from infra.errors import BadInput
    from infra.written import nearest
    from training.findings import Finding, ok, sentence, together
    from training.swift.data.check import Report, check_file
    from training.swift.data.tasks import TASKS

    if task not in TASKS:
        guess = nearest(task, TASKS)
        raise BadInput(
            f"there is no task {task}",
            where="--task",
            do=f"Did you mean {guess}?" if guess else f"Known: {', '.join(TASKS)}.",
        )
    reports: list[Report] = []
    findings: list[Finding] = []
    for file in files:
        try:
            reports.append(check_file(file, task))
        except OSError as error:
            findings.append(Finding("error", str(file), f"can't be read: {error.strerror}", "Give data files"))
        else:
            findings += reports[-1].findings
    if as_json:
        said = {"ok": ok(findings), "findings": [one.as_json() for one in findings]}
        options.put_json({**said, "files": [one.as_json() for one in reports]})
    else:
        for one in together(findings):
            click.echo(f"{one.severity:8} {sentence(one)}")
        for report in reports:
            left = "" if report.kept == report.rows else f", {report.kept:,} left"
            shape = f"  {report.format}  {report.rows:,} rows{left}  longest about {report.longest:,} tokens"
            click.echo(f"{report.file}{shape if report.format else '  not read'}")
    return 0 if ok(findings) else 2
