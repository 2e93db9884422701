"""A run on disk: saved whole or not at all, and taken up again by the same inputs alone."""

from dataclasses import asdict
from pathlib import Path

import torch

from segmentdreamer.config import GenerationConfig
from segmentdreamer.optimize import Run, read_rows, start_run
from segmentdreamer.records import replacing
from segmentdreamer.timing.cost import Cost


def save_checkpoint(run: Run, path: Path, key: str) -> None:
    """Write the run atomically; `key` names the inputs that it belongs to."""
    read_rows(run.rows)
    state = {
        "key": key,
        "params": {name: value.detach() for name, value in run.params.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in run.optimizers.items()},
        "strategy": run.strategy_state,
        "cost": asdict(run.cost),
        **{name: getattr(run, name) for name in ("step", "rows")},
    }
    with replacing(path) as partial:
        torch.save(state, partial)


def load_checkpoint(path: Path, key: str, config: GenerationConfig, device: str) -> Run | None:
    """The run saved at `path`, or None where there is none for these inputs."""
    if not path.exists():
        return None
    state = torch.load(path, map_location=device, weights_only=True)
    if state["key"] != key or "cost" not in state:  # of other inputs, or written by an older version
        return None
    run = start_run(state["params"], config)
    for name, optimizer in run.optimizers.items():
        optimizer.load_state_dict(state["optimizers"][name])
    run.strategy_state.update(state["strategy"])
    run.step, run.rows, run.cost = state["step"], state["rows"], Cost(**state["cost"])
    return run
