"""docs/adding.md, followed word for word in a fresh clone, adds what it says with as many files."""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pages
import pandas as pd
import pytest
import torch
from dry_runs import commands, planned, snakemake

from baselines.sds import SDS
from eval.metrics import CONTROL_TITLES
from eval.views.archive import write_views
from segmentdreamer.diffusion.solver import scaled_linear_alphas_cumprod
from segmentdreamer.interfaces import Conditioning
from segmentdreamer.prior.diffusers_prior import UNetPrior
from toybox.scenes import Spec, primitives
from toybox.truth import render_orbit

PAGE = pages.ROOT / "docs/adding.md"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pages.clone(tmp_path_factory.mktemp("clone"))


@pytest.fixture(scope="module")
def touched(clone: Path) -> dict[str, list[str]]:
    """The page, followed: section -> files."""
    touched = pages.follow(PAGE, clone)
    copy, name_it = (p.command for p in pages.in_blocks(PAGE) if re.match("mkdir|sed", p.command))
    subprocess.run(f"{copy} && {name_it}", shell=True, cwd=clone, check=True)
    made = [
        path for path in (clone / "segmentdreamer/scales").iterdir() if path.stem not in ("mini", "paper")
    ]
    return touched | {"A prior": [path.name for path in made]}


def printed(start: str, word: str) -> list[str]:
    """The arguments of the page's command that begins so and holds a word."""
    (command,) = (
        p.command for p in pages.in_blocks(PAGE) if p.command.startswith(start) and word in p.command
    )
    return shlex.split(command)[len(start.split()) :]


def run(clone: Path, *command: str) -> subprocess.CompletedProcess:
    env = os.environ | {"PYTHONPATH": str(clone)}
    return subprocess.run(
        [sys.executable, *command], cwd=clone, env=env, capture_output=True, text=True, check=False
    )


def test_as_many_files_are_touched_as_the_page_says(touched: dict[str, list[str]]) -> None:
    rows = re.findall(r"^\| \[([\w ]+)\]\(#[\w-]+\) \| (\d)", PAGE.read_text(), re.M)
    assert {name.capitalize(): int(count) for name, count in rows} == {k: len(v) for k, v in touched.items()}
    assert [count for _, count in rows] == ["2", "2", "1", "1", "2"]


@pytest.mark.parametrize(
    ("word", "made"), [("sjc", ("sjc", "toybox/models/prior")), ("mine", ("sctd", "weights/my-prior"))]
)
def test_the_new_method_and_the_new_prior_make_an_asset(
    word: str, made: tuple[str, str], clone: Path, touched: dict
) -> None:
    program = ["python", "-m", "segmentdreamer.generate"]
    arguments = printed(" ".join(program), word)
    ran = run(clone, *program[1:], *arguments, "--set", "train.steps=1", "--quiet")
    assert ran.returncode == 0, ran.stderr
    record = json.loads((clone / "results/try/provenance.json").read_text())
    assert (record["method"], record["config"]["prior"]["path"]) == made


def test_what_was_added_passes_the_projects_own_tests(clone: Path, touched: dict) -> None:
    """Of the house, methods, metrics and pages; `python -m docs.generated` first, as the page says."""
    assert run(clone, "-m", "docs.generated").returncode == 0
    counts = "segmentdreamer/timing/test_benchmark.py::test_the_plans_arithmetic_is_what_the_code_counts"
    rooms = ["test_house.py", "docs/test_generated.py", "baselines/test_contract.py"]
    listed = ["segmentdreamer/test_official_defaults.py", counts]
    metrics = ["eval/tables/test_metrics.py", "eval/scores/test_registry.py"]
    told = [*rooms, *listed, *metrics]
    ran = run(clone, "-m", "pytest", "-n", "0", "-q", *(f"tests/{name}" for name in told))
    assert ran.returncode == 0, ran.stdout[-3000:]


def test_the_new_loss_is_sds_of_uniform_weight_or_the_score_alone(clone: Path, touched: dict) -> None:
    sjc = runpy.run_path(str(clone / "baselines/sjc.py"))["SJC"]
    prior = UNetPrior(lambda x, t, cond: x.sin() + cond.mean(), scaled_linear_alphas_cumprod())
    text = Conditioning(torch.ones(2, 1, 3), torch.zeros(1, 1, 3), torch.zeros(1, 1, 3))
    z_0, noise = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    centered = sjc().update(prior, z_0, noise, text, 300).latent
    uniform = SDS(omega=100.0, weight="uniform").update(prior, z_0, noise, text, 300).latent
    torch.testing.assert_close(centered, uniform)
    torch.testing.assert_close(
        sjc(var_red=False).update(prior, z_0, noise, text, 300).latent, uniform + 0.1 * noise
    )
    assert prior.nfe == 3 * 2 * len(z_0)  # 2 rows a sample


@pytest.mark.parametrize(
    ("word", "jobs"),
    [
        ("sjc", {"generate": 6, "table1": 1}),
        ("mine.tsv", {"generate": 5, "table1": 1}),
        ("mine.yaml", {"generate": 10}),
        ("theirs", {"generate": 2, "theirs": 6}),
    ],
)
def test_the_workflow_plans_what_was_added(
    word: str, jobs: dict[str, int], clone: Path, touched: dict
) -> None:
    ran = snakemake(*printed("snakemake", word), "-n", "--quiet", "rules", cores=False, cwd=clone)
    assert ran.returncode == 0, ran.stderr
    assert jobs.items() <= planned(ran.stdout + ran.stderr).items()


@pytest.mark.parametrize(
    ("asset", "word", "program"),
    [
        ("results/my-prior/assets/sctd/p01/0/asset.ply", "mine.yaml", "segmentdreamer/scales/mine.yaml"),
        ("results/mini/assets/theirs/p02/0/asset.ply", "theirs", "their-program --prompt 'a red bear"),
    ],
)
def test_the_plan_names_the_new_prior_and_the_foreign_program(
    asset: str, word: str, program: str, clone: Path, touched: dict
) -> None:
    ran = snakemake(asset, *printed("snakemake", word), "-n", "-p", cores=False, cwd=clone)
    assert program in commands(ran.stdout + ran.stderr)[asset]


def test_a_method_that_was_begun_runs_at_once_and_keeps_the_contract(tmp_path: Path) -> None:
    copy = pages.clone(tmp_path)
    for name, told in (
        ("my_loss", ""),
        ("sds", "sds is there already"),
        ("My-Loss", "is no name of a method"),
        ("ironengine", "ironengine is there already"),
        *(
            (name, "means something else here")
            for name in (*CONTROL_TITLES, "start_2", "null", "on", "weight")
        ),
    ):
        ran = run(copy, "-m", "baselines.skeleton", name)
        assert told in ran.stderr and (ran.returncode == 0) == (not told), ran.stderr
    tests = ["tests/baselines/test_my_loss.py", "tests/baselines/test_contract.py"]
    ran = run(copy, "-m", "pytest", "-n", "0", *tests, "-k", "my_loss")
    assert ran.returncode == 0 and "8 passed" in ran.stdout, ran.stdout
    asked = ["a duck", "--method", "my_loss", "--set", "train.steps=1", "--out", "results/try", "--quiet"]
    ran = run(copy, "-m", "segmentdreamer.generate", *asked)
    assert ran.returncode == 0, ran.stderr


def test_the_new_metric_is_listed_and_gray_is_colorless(clone: Path, touched: dict) -> None:
    code = (
        "import numpy as np; from types import SimpleNamespace as Asset\n"
        "from eval.metrics import columns; from eval.scores.colorfulness import Colorfulness\n"
        "views = np.full((2, 4, 4, 4), 255, np.uint8); views[1, ..., 0] = 0\n"
        "values = Colorfulness(None, None)(Asset(views=views))['colorfulness']\n"
        "print(columns()['colorfulness']['name'], *values)"
    )
    ran = run(clone, "-c", code)
    name, gray, cyan = ran.stdout.split()
    assert name == "Colorfulness" and float(gray) == 0
    assert float(cyan) == pytest.approx(0.3 * np.hypot(255, 127.5))


def test_the_new_metric_scores_views(clone: Path, touched: dict) -> None:
    (clone / "views/p03").mkdir(parents=True)
    write_views(render_orbit(primitives(Spec("duck", "yellow")), 4, 0.0, 64), clone / "views/p03/views.zip")
    ran = run(
        clone, "-m", "eval.score", "views", "--prompts", "prompts/toybox.tsv", "--out", "results/scored"
    )
    assert ran.returncode == 0, ran.stderr
    scores = pd.read_csv(clone / "results/scored/scores.csv")
    assert len(scores[scores["metric"] == "colorfulness"]) == 4
