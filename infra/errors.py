"""Every error a person can meet, as one tree. It is the ground of both houses, `infra` and `training`.

    FleetError              exit code
    ├── BadInput            2   a file, an argument or a state of things that the person can put right
    ├── TrainingFailed      3   the job itself failed: a rank, a checkpoint, a download of its results
    ├── CloudRefused        4   AWS, the engine or a node said no
    │   ├── Held            4   another command works on the stack
    │   └── NotAdmitted     4   AWS takes no request at all: its credentials, the clock or the region
    └── Interrupted         130 Ctrl-C or SIGTERM; what is left and what it costs an hour is in `do`

A library's exception becomes one of these at the edge where it arises, with `raise ... from error`.
"""

from __future__ import annotations


class FleetError(Exception):
    """What is wrong, where, and what to do next: one line for a person, three fields for a program."""

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", do: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.do = what, where, do

    def __str__(self) -> str:
        return f"{self.where}  {self.sentence}" if self.where else self.sentence

    @property
    def sentence(self) -> str:
        """Without the place, for where it stands already."""
        return f"{self.what.rstrip('.')}. {self.do}" if self.do else self.what

    def as_json(self) -> dict[str, object]:
        return {"error": type(self).__name__, "what": self.what, "where": self.where, "do": self.do}


class BadInput(FleetError):
    exit_code = 2


class TrainingFailed(FleetError):
    exit_code = 3


class CloudRefused(FleetError):
    exit_code = 4


class Held(CloudRefused):
    """Nothing was asked of AWS."""


class NotAdmitted(CloudRefused):
    """of_region: it may be that this region alone does not know the credentials, because it is not enabled."""

    def __init__(self, what: str, *, where: str = "", do: str = "", of_region: bool = False) -> None:
        super().__init__(what, where=where, do=do)
        self.of_region = of_region


class Interrupted(FleetError):
    exit_code = 130
