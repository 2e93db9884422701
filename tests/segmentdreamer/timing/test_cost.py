"""What an asset costs: nothing is compiled on the clock, counts are exact, company is noticed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from eval.run import read_cost
from segmentdreamer import generate, optimize
from segmentdreamer.config import load_config
from segmentdreamer.methods import load_method
from segmentdreamer.prior.diffusers_prior import DiffusersPrior, UNetPrior, open_prior
from segmentdreamer.prior.view_prompts import embed_views
from segmentdreamer.start.shapes import start_state
from segmentdreamer.timing.cost import ALONE, Cost, read_meters
from segmentdreamer.timing.flops import Work, count_work, known_work
from segmentdreamer.timing.stopwatch import Stopwatch
from segmentdreamer.timing.warmup import warm_up

ROOT = Path(__file__).parents[3]
PRIOR = ROOT / "toybox/models/prior"


def make(out: Path, *extra: str, method: str = "gcs", steps: int = 4) -> dict:
    generate.main([
        "--prompt", "a yellow duck", "--method", method, "--out", str(out), "--quiet",
        "--set", f"train.steps={steps}", "--set", "train.checkpoint_every=2", *extra,
    ])  # fmt: skip
    return json.loads((out / "cost.json").read_text())


def prepared(name: str) -> tuple:
    """A run at its start and what its steps need: run, method, prior, prompts, config."""
    config = load_config("mini", ["train.steps=6", "start.count=100"])
    prior = open_prior(config.prior, "cpu")
    prompts = embed_views(prior, "a yellow duck", config.prompts)
    params = {k: torch.nn.Parameter(v) for k, v in start_state(config.start, 0).items()}
    method = load_method(name, config.methods[name])
    return optimize.start_run(params, config), method, prior, prompts, config


@pytest.mark.parametrize("name", ["sctd", "gcs"])
def test_everything_that_a_step_needs_is_loaded_before_the_clock_starts(name: str) -> None:
    run, method, prior, prompts, config = prepared(name)
    warm_up(run, method, prior, prompts, config, seed=0)
    sessions, loaded = dict(vars(prior.networks)), set(sys.modules)
    assert {"unet", "moments"} <= set(sessions) and ("decoder" in sessions or name != "gcs")
    optimize.optimize(run, method, prior, prompts, config, 0, Stopwatch())
    assert vars(prior.networks) == sessions
    assert set(sys.modules) == loaded


def test_warming_up_changes_neither_the_run_nor_its_counts_nor_anybodys_draws() -> None:
    outcomes = []
    for warm in (False, True):
        torch.manual_seed(7)
        run, method, prior, prompts, config = prepared("sctd")
        if warm:
            warm_up(run, method, prior, prompts, config, seed=0)
            assert run.step == 0 and not run.rows and run.cost == Cost()
        drawn = torch.rand(1)
        optimize.optimize(run, method, prior, prompts, config, 0, Stopwatch())
        counts = run.cost.nfe, run.cost.encodes, run.cost.decodes
        outcomes.append((counts, drawn, {k: v.detach() for k, v in run.params.items()}, run.rows))
    (counts, drawn, params, rows), (counts_2, drawn_2, params_2, rows_2) = outcomes
    assert counts == counts_2 and torch.equal(drawn, drawn_2) and rows == rows_2
    assert all(torch.equal(params[k], params_2[k]) for k in params)


def test_a_finished_or_dead_run_is_not_warmed_up() -> None:
    run, method, prior, prompts, config = prepared("sds")
    run.step = config.train.steps
    warm_up(run, method, prior, prompts, config, seed=0)
    run.step, run.params = 0, {k: torch.nn.Parameter(v[:0].detach()) for k, v in run.params.items()}
    warm_up(run, method, prior, prompts, config, seed=0)
    assert prior.nfe == prior.encoded == 0


def test_costs_count_what_was_asked_of_the_networks(tmp_path: Path) -> None:
    cost = make(tmp_path)  # 4 steps of 4 views; GCS decodes twice a view
    assert (cost["encodes"], cost["decodes"]) == (8, 16) and cost["nfe"] % 8 == 0
    work = count_work(PRIOR, 64)
    assert cost["tflop"] == pytest.approx(work.total(cost["nfe"], 8, 16) / 1e12, rel=1e-5)
    assert cost["cpu_seconds"] > 0 and cost["alone"] in (True, False)


def test_costs_add_up_over_resumes_as_if_there_had_been_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = make(tmp_path / "straight", steps=6)
    seen: list[Cost] = []
    original = optimize.take_step

    def killed(run: optimize.Run, *args: Any, **kwargs: Any) -> Any:
        if run.step == 4 and not seen:
            seen.append(run.cost)
            raise KeyboardInterrupt
        return original(run, *args, **kwargs)

    monkeypatch.setattr(optimize, "take_step", killed)
    with pytest.raises(SystemExit, match="130"):
        make(tmp_path / "resumed", steps=6)
    resumed = make(tmp_path / "resumed", steps=6)
    for name in ("nfe", "encodes", "decodes", "tflop"):
        assert resumed[name] == straight[name]
    assert resumed["seconds"] > seen[0].seconds > 0
    assert resumed["cpu_seconds"] > seen[0].cpu_seconds > 0


def test_a_gradient_through_the_unet_is_counted() -> None:
    prior = UNetPrior(lambda x, t, cond: 2 * x, torch.linspace(0.99, 0.01, 1000))
    x, cond = torch.ones(3, 4, 2, 2), torch.zeros(1, 1, 1)
    prior.eps(x, 500, cond)
    prior.eps(x[:2].requires_grad_(), 500, cond, graph=True)
    assert (prior.nfe, prior.differentiated) == (5, 2)
    work = Work(unet=10, unet_backward=7, encode=100, encode_backward=100, decode=1000)
    assert work.total(5, 1, 2, 2) == 5 * 10 + 2 * 7 + 200 + 2000


def test_the_arithmetic_is_counted_once_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMENTDREAMER_CACHE", str(tmp_path))
    first = known_work(PRIOR, 64, "ab" * 32)
    assert first == count_work(PRIOR, 64) and first.unet_backward > 0
    assert known_work(tmp_path / "gone", 64, "ab" * 32) == first
    with pytest.raises(FileNotFoundError):
        known_work(tmp_path / "gone", 32, "ab" * 32)


def busy(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def meter(seconds: float) -> Cost:
    prior = DiffusersPrior.__new__(DiffusersPrior)
    prior.nfe = prior.differentiated = prior.encoded = prior.decoded = 0
    before = read_meters(prior)
    busy(seconds)
    return read_meters(prior) - before


def test_another_process_that_computes_is_noticed_and_our_own_work_is_not_taken_for_it() -> None:
    """The difference between two readings, so that it holds on a machine that others use too."""
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.2)
        cost = meter(1.0)
    finally:
        other.kill()
        other.wait()
    assert cost.others_cores is not None and cost.others_cores > 0.25 and not cost.alone


def test_alone_is_said_only_where_it_is_known() -> None:
    assert Cost(seconds=10, others_seconds=0.9 * 10 * ALONE).alone
    assert not Cost(seconds=10, others_seconds=1.1 * 10 * ALONE).alone
    assert Cost(seconds=10, others_seconds=-0.3).others_cores == 0  # the system counts in hundredths
    blind = Cost(seconds=10, cpu_seconds=10, others_seconds=-10)  # a system that does not even count us
    assert blind.others_cores is None and not blind.alone
    together = Cost(seconds=10, others_seconds=0) + Cost(seconds=10, others_seconds=10)
    assert together.others_cores == 0.5 and not together.alone


def test_tables_get_time_arithmetic_and_company(tmp_path: Path) -> None:
    record = {
        "seconds": 9.5,
        "cpu_seconds": 9.0,
        "alone": False,
        "tflop": 1.5,
        "nfe": 40,
        "failed": "",
        "others_cores": 0.9,
        "peak_memory_mib": 300,
        "device": "cpu",
    }
    (tmp_path / "cost.json").write_text(json.dumps(record))
    assert read_cost(tmp_path) == {
        "seconds": 9.5,
        "cpu_seconds": 9.0,
        "alone": 0.0,
        "tflop": 1.5,
        "nfe": 40,
        "peak_memory": 300,
    }
