"""One asset from end to end on the shipped prior: determinism, resume, records, refusals."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from segmentdreamer import generate
from segmentdreamer.diffusion.sampling import timesteps
from segmentdreamer.prior.diffusers_prior import DiffusersPrior

ROOT = Path(__file__).parents[2]
PRIOR = ROOT / "toybox" / "models" / "prior"


def make(out: Path, *extra: str, method: str = "sctd", steps: int = 6) -> None:
    generate.main([
        "--prompt", "a yellow duck", "--method", method, "--out", str(out), "--quiet",
        "--set", f"train.steps={steps}", "--set", "train.checkpoint_every=2", *extra,
    ])  # fmt: skip


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    make(tmp_path / "a")
    make(tmp_path / "b")
    assert (tmp_path / "a/asset.ply").read_bytes() == (tmp_path / "b/asset.ply").read_bytes()


@pytest.mark.parametrize("method", ["sds", "sctd"])
def test_a_killed_and_resumed_run_gives_the_bytes_of_a_straight_one(
    tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow = ("--set", "optimizer.refine_start=1", "--set", "optimizer.refine_every=2",
            "--set", "optimizer.grow_grad=0.001")  # fmt: skip
    make(tmp_path / "straight", *grow, method=method)
    from segmentdreamer import optimize

    original, calls = optimize.take_step, []

    def killed(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    monkeypatch.setattr(optimize, "take_step", killed)
    with pytest.raises(SystemExit, match="130"):
        make(tmp_path / "resumed", *grow, method=method)
    assert (tmp_path / "resumed/.checkpoint.pt").exists()
    assert not (tmp_path / "resumed/asset.ply").exists()
    began: list[int] = []
    monkeypatch.setattr(
        optimize, "take_step", lambda run, *rest: (began.append(run.step), original(run, *rest))[1]
    )
    make(tmp_path / "resumed", *grow, method=method)
    assert began == [4, 5]  # the last checkpoint was written after the fourth step
    for name in ("asset.ply", "train.csv"):
        assert (tmp_path / "straight" / name).read_bytes() == (tmp_path / "resumed" / name).read_bytes()
    assert not (tmp_path / "resumed/.checkpoint.pt").exists()


def test_records_tell_what_an_asset_cost_and_what_made_it(tmp_path: Path) -> None:
    make(tmp_path, method="sds", steps=3)
    cost = json.loads((tmp_path / "cost.json").read_text())
    record = json.loads((tmp_path / "provenance.json").read_text())
    log = pd.read_csv(tmp_path / "train.csv")
    assert cost["nfe"] == 3 * 2 * 2 and cost["steps"] == 3 and cost["seconds"] > 0
    assert record["method"] == "sds" and record["config"]["train"]["steps"] == 3
    assert len(record["weights_sha256"]) == 64 and record["versions"]["torch"]
    assert {"step", "nfe", "gaussians", "loss", "t"} <= set(log) and len(log) == 3


def test_optimization_moves_the_render_towards_what_the_method_asks(tmp_path: Path) -> None:
    make(tmp_path, method="sds", steps=40)
    log = pd.read_csv(tmp_path / "train.csv")
    assert np.isfinite(log["loss"]).all()
    from segmentdreamer.scene.gaussians import activate, load_ply

    colors = activate(load_ply(tmp_path / "asset.ply")).colors
    assert float((colors[:, 2] < 0.4).float().mean()) > 0.3  # a gray ball turning yellow loses its blue


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method", "nope"], "unknown method 'nope'"),
        (["--method", "sds", "--set", "prior.path=nowhere"], "no file nowhere"),
        (["--method", "sds", "--set", "prior.sha256=abc"], "have SHA-256"),
        (["--method", "sds", "--scale", "huge"], "no scale or configuration file 'huge'"),
        (["--method", "sctd", "--set", "methods.sctd.unet_jacobian=true"], "set approx_G to false"),
        (["--method", "cds", "--set", "prompts.perp_neg=true"], "cds has no Perp-Neg"),
    ],
)
def test_wrong_input_gets_one_line_and_leaves_nothing(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    out = tmp_path / "asset"
    ran = subprocess.run(
        [sys.executable, "-m", "segmentdreamer.generate", "--prompt", "x", "--out", str(out), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode != 0 and words in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1 and not out.exists()


@pytest.fixture(scope="module")
def priors() -> tuple[DiffusersPrior, DiffusersPrior]:
    return DiffusersPrior(PRIOR, networks="exported"), DiffusersPrior(PRIOR, networks="torch")


def test_exported_networks_equal_pytorch(priors: tuple[DiffusersPrior, DiffusersPrior]) -> None:
    fast, slow = priors
    texts = ["a red bear with a blue hat, left side view", "", "word unknown to the toybox"]
    assert torch.allclose(fast.encode_prompt(texts), slow.encode_prompt(texts), atol=1e-5)
    x, cond = torch.randn(3, 4, 16, 16), fast.encode_prompt(texts)
    for t in (20, 500, 979):
        assert torch.allclose(fast.eps(x, t, cond), slow.eps(x, t, cond), atol=1e-5)
    assert torch.allclose(fast.decode(x), slow.decode(x), atol=1e-5)
    images = [
        torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in "ab"
    ]
    weight = torch.randn(3, 4, 16, 16)
    for prior, image in zip(priors, images, strict=True):
        (prior.encode(image) * weight).sum().backward()
    assert torch.allclose(images[0].grad, images[1].grad, atol=1e-4)


def test_the_prior_counts_every_row(priors: tuple[DiffusersPrior, DiffusersPrior]) -> None:
    prior = priors[0]
    before, null = prior.nfe, prior.encode_prompt([""])
    prior.eps(torch.randn(5, 4, 16, 16), 100, null)
    assert prior.nfe - before == 5


def test_sampling_times_descend_from_the_noisiest() -> None:
    times = timesteps(25)
    assert times[0] == 999 and len(times) == 25 and min(times) > 0
    assert all(a > b for a, b in itertools.pairwise(times))


def test_without_onnx_runtime_the_networks_run_in_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    from segmentdreamer.prior import diffusers_prior as module
    from segmentdreamer.prior.torch_networks import TorchNetworks

    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert isinstance(DiffusersPrior(PRIOR).networks, TorchNetworks)
