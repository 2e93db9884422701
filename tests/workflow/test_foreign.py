"""Programs of others in the workflow: each template's dry run, its pinned commit, one program for real."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from dry_runs import ROOT, commands, snakemake

from segmentdreamer.scene.gaussians import load_ply

PROGRAMS = yaml.safe_load((ROOT / "baselines/foreign.yaml").read_text())
AUTHORS = {
    "segmentdreamer_official",
    "lucid_dreamer",
    "consistent3d_official",
    "gcs_beg_official",
    "threestudio_dreamfusion",
}


def product(name: str) -> str:
    views = PROGRAMS[name].get("as") == "views"
    return f"{'views' if views else 'assets'}/{name}/p02/1/{'views.zip' if views else 'asset.ply'}"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A dry run of every program, as if none were installed: file -> the command that makes it."""
    results = tmp_path_factory.mktemp("results")
    config = ["--config", f"results={results}", "seeds=2", f"methods=[{','.join(PROGRAMS)}]"]
    ran = snakemake(*(f"{results}/{product(name)}" for name in PROGRAMS), "-n", "-p", "--forceall", *config)
    assert ran.returncode == 0, ran.stderr
    return {
        path.removeprefix(f"{results}/"): made for path, made in commands(ran.stdout + ran.stderr).items()
    }


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_template_plans_its_installation_and_its_command(name: str, plan: dict[str, str]) -> None:
    run = plan[product(name)]
    assert f"program {name} --prompt" in run and "--seed 1" in run
    assert "p02-1" in run.partition(" -- ")[2] and "{" not in run.partition(" -- ")[2]
    (install,) = (made for path, made in plan.items() if f"foreign/{name}/installed-" in path)
    for step in PROGRAMS[name]["install"]:
        assert step in install
    if "repository" in PROGRAMS[name]:
        assert f"git clone {PROGRAMS[name]['repository']}" in install
        assert f"git checkout {PROGRAMS[name]['commit']}" in install


def test_every_authors_code_is_pinned_and_says_license_and_deviations() -> None:
    assert {*PROGRAMS} >= AUTHORS
    sources = yaml.safe_load((ROOT / "baselines/methods.yaml").read_text())
    read = " ".join(entry.get("source", "") for entry in sources.values())
    for name in AUTHORS:
        entry = PROGRAMS[name]
        assert re.fullmatch("[0-9a-f]{7,40}", entry["commit"]) and entry["commit"][:7] in read
        assert entry["license"] and entry["deviations"]


@pytest.mark.slow
def test_a_program_from_the_package_index_makes_an_asset_that_is_scored(tmp_path: Path) -> None:
    asked = ["--config", f"results={tmp_path}", "methods=[ironengine]", "truth=False"]
    scores = tmp_path / "scores/ironengine/p04/0/scores.csv"
    fetch = ["pip", "download", "--no-deps", "--dest", str(tmp_path), "ironengine-3d-creator==0.4.0"]
    if subprocess.run(fetch, check=False, capture_output=True).returncode:
        pytest.skip("needs a package index")
    ran = snakemake(str(scores), *asked)
    assert ran.returncode == 0, ran.stderr[-2000:]
    folder = tmp_path / "assets/ironengine/p04/0"
    record, cost = (json.loads((folder / f"{name}.json").read_text()) for name in ("provenance", "cost"))
    assert record["program"]["license"] == "Apache-2.0" and record["as"] == "points"
    assert len(load_ply(folder / "asset.ply")["means"]) == cost["gaussians"] > 1000 and cost["seconds"] > 0
