"""What a running optimization tells: a line every 5 %, its rows as they come, and a tracker if asked for."""

import csv
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from segmentdreamer.optimize import Run
from segmentdreamer.records import replacing

LINES = 20  # a run
Tracker = Callable[[Mapping[str, Any]], None]  # takes a row of train.csv


@dataclass
class Journal:
    """Called with a run whose rows are read, it tells what is new."""

    path: Path  # of the rows so far; train.csv itself is written once, at the end
    about: str
    steps: int
    first: int  # steps done when this process took the run up
    lines: bool = True
    tracker: Tracker | None = None

    def __post_init__(self) -> None:
        self.began, self.written = time.monotonic(), 0

    def __call__(self, run: Run) -> None:
        new = run.rows[self.written :]
        with self.path.open("a" if self.written else "w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(run.rows[0]), restval="", extrasaction="ignore")
            if not self.written:
                writer.writeheader()
            writer.writerows(new)
        for row in new if self.tracker else ():
            if self.tracker and row["step"] > self.first:
                self.tracker(row)
        before, self.written = self.written, len(run.rows)
        if self.lines and LINES * run.step // self.steps > LINES * before // self.steps:
            print(self.line(run), file=sys.stderr, flush=True)

    def line(self, run: Run) -> str:
        """Where the run stands, and when it will be done at this pace."""
        pace = (time.monotonic() - self.began) / max(1, run.step - self.first)
        left = pace * (self.steps - run.step)
        length = (
            f"{left:.0f} s"
            if left < 100
            else f"{left / 60:.0f} min"
            if left < 6000
            else f"{left / 3600:.1f} h"
        )
        return (
            f"{self.about}: step {run.step} of {self.steps} ({run.step / self.steps:.0%}), {length} left, "
            f"{run.rows[-1]['gaussians']} Gaussians"
        )


def write_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """All rows of a run as a CSV, whole or not at all; a run without a step has a header."""
    names = list(dict.fromkeys(["step", *(name for row in rows for name in row)]))
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, names, restval="")
        writer.writeheader()
        writer.writerows(rows)


@contextmanager
def tensorboard(out: Path, name: str, settings: Mapping[str, Any]) -> Iterator[Tracker]:
    """Event files in OUT/tensorboard."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(out / "tensorboard")) as writer:
        writer.add_text(name, str(dict(settings)))

        def log(row: Mapping[str, Any]) -> None:
            for key, value in row.items():
                writer.add_scalar(key, value, row["step"])

        yield log


@contextmanager
def wandb(out: Path, name: str, settings: Mapping[str, Any]) -> Iterator[Tracker]:
    """A run of Weights & Biases, in the project and mode that its own variables name."""
    import wandb

    with wandb.init(name=name, dir=str(out), config=dict(settings)) as run:
        yield lambda row: run.log(dict(row), step=row["step"])


@contextmanager
def mlflow(out: Path, name: str, settings: Mapping[str, Any]) -> Iterator[Tracker]:
    """A run of MLflow, on the server or in the folder that its own variables name."""
    import mlflow

    with mlflow.start_run(run_name=name, description=str(out)):
        mlflow.log_params({key: str(value)[:250] for key, value in settings.items()})
        yield lambda row: mlflow.log_metrics({k: float(v) for k, v in row.items()}, step=row["step"])


Opener = Callable[[Path, str, Mapping[str, Any]], AbstractContextManager[Tracker]]
TRACKERS: dict[str, Opener] = {"tensorboard": tensorboard, "wandb": wandb, "mlflow": mlflow}


def find_tracker(kind: str | None) -> Opener | None:
    """What opens a tracker of this kind; ValueError, with what to do, where there is none."""
    if kind is None:
        return None
    if kind not in TRACKERS:
        raise ValueError(f"no tracker {kind!r}; known: {', '.join(TRACKERS)}")
    if find_spec(kind) is None:
        raise ValueError(f"--log {kind} needs the package {kind}, which is not here: pip install {kind}")
    return TRACKERS[kind]
