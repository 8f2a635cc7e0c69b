"""fleet check, args: what is wrong with a job, and what ms-swift's commands take. Neither asks anybody."""

from __future__ import annotations

import textwrap
from pathlib import Path

import click

from training.cli import options


@click.command()
@click.argument("job", type=click.Path(path_type=Path))
@options.where
@options.json
def check(job: Path, stack: str | None, hosts: str | None, local: bool, key: Path | None, as_json: bool) -> int:
    """Say everything that is wrong with JOB at once: its keys, ms-swift's arguments, what contradicts what, its paths.

    With a fleet also what depends on the number of its GPUs and on their memory. Exit code 2 where there is an error.
    Creates nothing, and needs no network.
    """
    from training.checked import check_file, checked_plan
    from training.findings import ok, sentence, together

    named = stack or hosts or local or options.chosen_for(job)
    offer = options.fleet_from(stack, hosts, local, key, job).shape() if named else None
    checked = check_file(job, offer)
    found = list(checked.findings)
    if offer and ok(found):
        from training.estimated import of_plan
        from training.stack_fleet import machines

        found += of_plan(checked_plan(job, offer)[0], machines()).findings
    findings = sorted(
        found,
        key=lambda one: (("error", "warning", "note").index(one.severity), checked.lines.get(one.where, 0)),
    )
    fine = ok(findings)
    needs = {one.profile: one for one in checked.job.needs} if checked.job else {}
    if as_json:
        options.put_json({"ok": fine, "profiles": list(needs), "findings": [one.as_json() for one in findings]})
    else:
        for one in together(findings):
            click.echo(f"{one.severity:8} {sentence(one, job, checked.lines)}")
        errors = sum(one.severity == "error" for one in findings)
        counted = "1 error" if errors == 1 else f"{errors} errors"
        click.echo(f"{job}  {'ok' if fine else f'{counted}: it would be refused'}")
        for need in needs.values():
            click.echo(f"profile  {need}")
    return 0 if fine else 2


@click.command()
@click.argument("words", metavar="COMMAND [WORD]", nargs=-1, required=True)
@options.json
def args(words: tuple[str, ...], as_json: bool) -> None:
    """Show the arguments of ms-swift's COMMAND (sft, rlhf, megatron sft, ...), or those that have WORD in their name.

    Name, type or choices, default, and the class that defines it. A default of none often means that ms-swift works it
    out from the model or the other arguments.
    """
    from infra.errors import BadInput
    from infra.written import nearest
    from training.swift.arguments import VERSION, matching, similar, table

    known = table()
    trainer, rest = (words[0], words[1:]) if words[0] in ("swift", "megatron") else ("swift", words)
    there = [one.split()[1] for one in known.commands if one.startswith(trainer)]
    name = rest[0].replace("_", "-") if rest else ""
    if name not in there:
        guess = nearest(name, there)
        do = f"Did you mean {guess}?" if guess else f"There are: {', '.join(there)}."
        raise BadInput(f"{trainer} has no command {name!r}", do=do)
    mine = known.commands[f"{trainer} {name}"]
    found = sorted(matching(mine, rest[1:]), key=lambda one: one.name)
    if not found:
        near = similar(rest[-1], mine, 3)
        others = known.having(rest[-1].replace("-", "_"))
        do = f"Did you mean {', '.join(near)}?" if near else f"{', '.join(others)} has it." if others else ""
        raise BadInput(f"{trainer} {name} has no argument with {' '.join(rest[1:])!r}", do=do)
    if as_json:
        options.put_json([one.as_json() for one in found])
        return
    wide = max(len(one.name) for one in found)
    for one in found:
        first, *more = textwrap.wrap(one.shown_type, 50)
        owner = one.defined_in.rpartition(".")[2]
        click.echo(f"{one.name:{wide}}  {first:50}  {one.shown_default:16}  {owner}")
        for line in more:
            click.echo(f"{'':{wide}}  {line}")
    click.echo(f"{len(found)} of the {len(mine)} arguments of {trainer} {name}, ms-swift {VERSION}", err=True)
