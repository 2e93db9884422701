"""A saved run is taken up whole, and by nothing but the same inputs."""

from __future__ import annotations

from pathlib import Path

import torch

from segmentdreamer.checkpoint import load_checkpoint, save_checkpoint
from segmentdreamer.config import load_config
from segmentdreamer.optimize import Run, start_run
from segmentdreamer.start.shapes import start_state
from segmentdreamer.timing.cost import Cost

CONFIG = load_config("mini", ["start.count=20"])


def used_run() -> Run:
    """A run some steps on: optimizers that have moments, rows, and costs."""
    run = start_run(
        {k: torch.nn.Parameter(v.detach()) for k, v in start_state(CONFIG.start, 0).items()}, CONFIG
    )
    for name, value in run.params.items():
        value.grad = torch.ones_like(value)
        run.optimizers[name].step()
    run.step, run.cost = 7, Cost(seconds=1.5, nfe=56)
    run.rows = [{"step": 7, "loss": torch.tensor(0.5), "skipped": 0.0}]
    run.strategy_state["held_back"] = 3
    run.state = {"weights": {"a": torch.ones(2)}, "moments": {0: {"step": torch.tensor(7.0)}}}
    return run


def test_a_run_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    run, path = used_run(), tmp_path / "deep" / "run.pt"
    save_checkpoint(run, path, "key")
    again = load_checkpoint(path, "key", CONFIG, "cpu")
    assert again is not None and (again.step, again.cost) == (7, Cost(seconds=1.5, nfe=56))
    assert again.rows == [{"step": 7, "loss": 0.5, "skipped": 0.0}]
    assert again.strategy_state["held_back"] == 3
    assert torch.equal(again.state["weights"]["a"], torch.ones(2)) and again.state["moments"][0]["step"] == 7
    for name, value in run.params.items():
        assert torch.equal(again.params[name], value)
        moments, restored = (r.optimizers[name].state[r.params[name]] for r in (run, again))
        assert all(torch.equal(restored[k], moments[k]) for k in ("exp_avg", "exp_avg_sq", "step"))


def test_other_inputs_and_a_missing_file_begin_anew(tmp_path: Path) -> None:
    save_checkpoint(used_run(), tmp_path / "run.pt", "key")
    assert load_checkpoint(tmp_path / "run.pt", "another key", CONFIG, "cpu") is None
    assert load_checkpoint(tmp_path / "none.pt", "key", CONFIG, "cpu") is None
