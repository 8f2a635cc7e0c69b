"""What ms-swift's log says, line by line. Pure; formats seen in runs of ms-swift 4.6.0 (transformers 5 and 4.57).

A log is a byte stream where progress bars end in `\\r`, so one line of the file may hold many sayings:
`Lines` cuts it, `read_line` says what one piece means, `LogState` keeps what a whole log has said so far.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

#: swift/pipelines/base.py prints it when `main` has returned; with exit code 0 it means success.
SUCCESS = "End time of running main:"

_NUMBER = r"'?(-?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|nan|inf))'?"
#: PPO's begins with `eps`, episodes a second (trl/experimental/ppo/ppo_trainer.py), and has no `loss`.
_STEP = re.compile(r"\{'(?:loss|eps)': .*?'(?:global_step/max_steps|iteration)': '(\d+)/(\d+)'.*?\}")
_END = re.compile(r"\{'train_runtime': .*?'(?:global_step/max_steps|iteration)': '(\d+)/(\d+)'")
_WORLD = re.compile(r"\brank: -?\d+, local_rank: -?\d+, world_size: (\d+)")
_RUN_DIR = re.compile(r"\boutput_dir: (\S+)")
_VERSION = re.compile(r"/v\d+-\d{8}-\d{6}$")
_SAVING = re.compile(r"Saving model checkpoint to (\S+)")
_MEGATRON_SAVED = re.compile(r"Successfully saved Megatron model weights in `([^`]+)`")
_KEPT = re.compile(r"(last|best)_model_checkpoint: (\S+)")
_SERVES = re.compile(r"(Uvicorn running on|Running on local URL:) +(https?://\S+)")
#: `swift app`: behind its page is a server of its own, which says first where it listens.
_APP = re.compile(r"^run sh: .*/swift/cli/app\.py\b")
_DURATION = re.compile(r"(\d+)([dhms])")
#: The last line of a Python traceback, with or without torchrun's `[rank1]: ` before it.
_RAISED = re.compile(
    r"^(?:\[rank\d+\]: ?)?((?:[A-Za-z_]\w*\.)*[A-Za-z_]*(?:Error|Exception|Interrupt|Exit|OutOfMemory\w*))(?:: ?(.*))?$"
)
_ARGPARSE = re.compile(r"^\S+\.py: error: .+")
#: After the end of `main`: Gloo's threads can abort a process whose Python is ending (pytorch pull request 179291).
_ABORTED = re.compile(r"^Signal 6 \(SIGABRT\)")
_SIGNAL = re.compile(r"Signal \d+ \(SIG\w+\) received by PID \d+")
#: Follows the traceback of a data row that was dropped: the run goes on (swift/dataset/preprocessor/core.py).
ROW_DROPPED = "There are errors in the dataset, the data will be deleted"

#: What torchrun says of a child is a frame around the cause, never the cause.
_FRAMES = ("ChildFailedError", "SignalException")
#: What a rank says when another one has gone: a consequence. (gloo, NCCL, torch's store)
_PEER_GONE = re.compile(
    r"Connection (?:closed|reset) by peer|Broken pipe|remote process exited|NCCL.*(?:remote|peer)"
    r"|Watchdog caught collective|DistNetworkError|ncclRemoteError|recvValue failed|is killed by signal: Terminated",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class StepLine:
    """One line of training. remaining_seconds and memory_gib as ms-swift printed them, else None.

    loss: of PPO, which has two, the policy's.
    """

    step: int
    max_steps: int
    loss: float
    grad_norm: float | None
    learning_rate: float | None
    seconds_per_step: float | None
    remaining_seconds: int | None
    memory_gib: float | None


@dataclass(frozen=True)
class WorldLine:
    size: int


@dataclass(frozen=True)
class CheckpointLine:
    path: str


@dataclass(frozen=True)
class ErrorLine:
    """A line that says why. secondary: it tells of another rank's end, or is torchrun's frame."""

    text: str
    secondary: bool


@dataclass(frozen=True)
class RunDirLine:
    path: str


@dataclass(frozen=True)
class KeptLine:
    which: str
    path: str


@dataclass(frozen=True)
class ServesLine:
    """is_page: by Gradio, for a browser."""

    url: str
    is_page: bool = False


@dataclass(frozen=True)
class EndLine:
    pass


Saying = StepLine | WorldLine | CheckpointLine | ErrorLine | RunDirLine | KeptLine | ServesLine | EndLine


def read_line(text: str) -> list[Saying]:
    """What one piece of the log means: mostly nothing, sometimes two things (a bar and a saying on one line)."""
    if SUCCESS in text:
        return [EndLine()]
    if found := _STEP.search(text):
        return [_step(found)]
    if found := _WORLD.search(text):
        return [WorldLine(int(found[1]))]
    if found := _SAVING.search(text) or _MEGATRON_SAVED.search(text):
        return [CheckpointLine(found[1])]
    if found := _KEPT.search(text):
        return [KeptLine(found[1], found[2])] if found[2] != "None" else []
    if text.startswith("[INFO:swift] output_dir") and (found := _RUN_DIR.search(text)):
        return [RunDirLine(found[1])]
    if found := _SERVES.search(text):
        return [ServesLine(found[2], found[1].startswith("Running"))]
    if error := read_error(text.rstrip()):
        return [error]
    return []


def seconds(text: str) -> int | None:
    """`1d 2h 3m 4s` in seconds."""
    parts = _DURATION.findall(text)
    if not parts:
        return None
    return sum(int(n) * {"d": 86400, "h": 3600, "m": 60, "s": 1}[unit] for n, unit in parts)


def _step(found: re.Match[str]) -> StepLine:
    line = found[0]
    remaining = re.search(r"'remaining_time': '([^']*)'", line)
    ppo = "'loss'" not in line
    loss = _number(line, "loss/policy_avg" if ppo else "loss")
    return StepLine(
        step=int(found[1]),
        max_steps=int(found[2]),
        loss=float("nan") if loss is None else loss,
        grad_norm=_number(line, "grad_norm"),
        learning_rate=_number(line, "lr" if ppo else "learning_rate"),
        seconds_per_step=_number(line, "train_speed(s/it)"),
        remaining_seconds=seconds(remaining[1]) if remaining else None,
        memory_gib=_number(line, "memory(GiB)"),
    )


def _number(line: str, key: str) -> float | None:
    found = re.search(rf"'{re.escape(key)}': {_NUMBER}", line)
    return float(found[1]) if found else None


def read_error(text: str) -> ErrorLine | None:
    """What a line without its line end says of an error, if it does."""
    if _ARGPARSE.match(text):
        return ErrorLine(text, secondary=False)
    if found := _SIGNAL.search(text):
        return ErrorLine(found[0], secondary="SIGTERM" in found[0])
    found = _RAISED.match(text)
    if not found:
        return None
    said = re.sub(r"^\[rank\d+\]: ?", "", text)
    frame = found[1].rsplit(".", 1)[-1] in _FRAMES
    return ErrorLine(said, secondary=frame or bool(_PEER_GONE.search(said)))


@dataclass
class Lines:
    """Cuts a byte stream into pieces at `\\n` and `\\r`, numbered as an editor numbers lines (by `\\n`)."""

    number: int = 1
    rest: bytes = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, str]]:
        pieces = re.split(rb"([\r\n])", self.rest + data)
        self.rest = pieces.pop()
        for text, end in zip(pieces[::2], pieces[1::2], strict=True):
            if text.strip():
                yield self.number, text.decode("utf-8", "replace")
            self.number += end == b"\n"

    def flush(self) -> Iterator[tuple[int, str]]:
        """What stands after the last line end, once the process has ended."""
        if self.rest.strip():
            yield self.number, self.rest.decode("utf-8", "replace")
        self.rest = b""


@dataclass
class LogState:
    """What one rank's log has said so far.

    run_dir: the `v0-...` folder, else the output_dir that was printed. serves: where a server listens.
    aborted: whether its process only died of itself after that (see `_ABORTED`), its work done.
    cause: (line number, text) of the first error line since training last went on that is no consequence
        of another rank's end; `echo` is the first that is one.
    """

    world_size: int | None = None
    run_dir: str = ""
    step: int = 0
    max_steps: int = 0
    first_loss: float | None = None
    last_loss: float | None = None
    checkpoints: list[str] = field(default_factory=list)
    last_checkpoint: str = ""
    best_checkpoint: str = ""
    serves: str = ""
    is_app: bool = False
    ended_well: bool = False
    cause: tuple[int, str] | None = None
    echo: tuple[int, str] | None = None

    def take(self, number: int, text: str) -> list[Saying]:
        """Reads one piece; returns what it said."""
        self.is_app = self.is_app or bool(_APP.search(text))
        said = read_line(text)
        for one in said:
            self._note(number, one)
        if not said and (ended := _END.search(text)):
            self.step, self.max_steps = int(ended[1]), int(ended[2])
        if ROW_DROPPED in text:
            self.cause = None
        return said

    def _note(self, number: int, one: Saying) -> None:
        match one:
            case StepLine():
                self.cause = self.echo = None
                self.step, self.max_steps, self.last_loss = one.step, one.max_steps, one.loss
                if self.first_loss is None:
                    self.first_loss = one.loss
            case WorldLine(size):
                self.world_size = size
            case RunDirLine(path):
                if not _VERSION.search(self.run_dir):
                    self.run_dir = path
            case CheckpointLine(path):
                if path not in self.checkpoints:
                    self.checkpoints.append(path)
                self.last_checkpoint = path
            case KeptLine(which, path):
                setattr(self, f"{which}_checkpoint", path)
            case ServesLine(url, is_page):
                self.serves = url if is_page or not self.is_app else ""
            case ErrorLine(text, secondary):
                if secondary:
                    self.echo = self.echo or (number, text)
                else:
                    self.cause = self.cause or (number, text)
            case EndLine():
                self.ended_well = True
                self.cause = self.echo = None

    @property
    def aborted(self) -> bool:
        return self.ended_well and self.cause is not None and bool(_ABORTED.search(self.cause[1]))

    def why(self) -> tuple[int, str] | None:
        return self.cause or self.echo
