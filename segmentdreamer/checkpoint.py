"""A run on disk: saved whole or not at all, taken up by the same inputs alone; and signals that end one."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from segmentdreamer.config import GenerationConfig
from segmentdreamer.optimize import Run, read_rows, start_run
from segmentdreamer.records import replacing
from segmentdreamer.timing.cost import Cost


def save_checkpoint(run: Run, path: Path, key: str) -> None:
    """Write the run atomically, on the disk before it takes its name; `key` names its inputs."""
    read_rows(run.rows)
    state = {
        "key": key,
        "params": {name: value.detach() for name, value in run.params.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in run.optimizers.items()},
        "strategy": run.strategy_state,
        "cost": asdict(run.cost),
        **{name: getattr(run, name) for name in ("step", "rows", "state")},
    }
    with replacing(path, synced=True) as partial:
        try:
            torch.save(state, partial)
        except RuntimeError as error:  # what torch makes of a full disk
            raise OSError(f"the checkpoint {path} could not be written: is the disk full?") from error


def load_checkpoint(path: Path, key: str, config: GenerationConfig, device: str) -> Run | None:
    """The run saved at `path`, or None where there is none for these inputs, or none that can be read."""
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        if state["key"] != key or "cost" not in state:  # of other inputs, or written by an older version
            return None
        run = start_run(state["params"], config)
        for name, optimizer in run.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        run.strategy_state.update(state["strategy"])
        run.step, run.rows, run.cost = state["step"], state["rows"], Cost(**state["cost"])
        run.state = state["state"]
    except Exception as error:  # of a damaged file, of many kinds
        print(
            f"the checkpoint {path} cannot be read ({type(error).__name__}): beginning anew", file=sys.stderr
        )
        return None
    return run


class Stopped(SystemExit):
    """A run that a signal ended between two steps; the code is 128 and the signal's number."""


@contextmanager
def held_signals() -> Iterator[list[int]]:
    """^C and SIGTERM are put into a list instead of ending the program at once; a second ^C does."""
    came: list[int] = []

    def hold(number: int, _: Any) -> None:
        came.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    if threading.current_thread() is not threading.main_thread():  # which alone may set handlers
        yield came
        return
    before = {number: signal.signal(number, hold) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
