"""The whole flow over methods that fail in every way: each is a row, and the run ends well."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from dry_runs import ROOT, snakemake

LINKED = ("Snakefile", "eval", "profiles", "prompts", "segmentdreamer", "toybox", "workflow")
PLANTED = '''"""Methods that fail, each in its way."""
import os, signal
from dataclasses import dataclass
import torch
from segmentdreamer.interfaces import Conditioning, Gradient, Method, Prior, Progress
from torch import Tensor


@dataclass(frozen=True)
class Raises(Method):
    def update(self, *given: object) -> Gradient:
        raise ValueError("planted")

    def __call__(self, prior: Prior, z_0: Tensor, text: Conditioning, progress: Progress) -> Gradient:
        return self.fail(z_0)

    def fail(self, z_0: Tensor) -> Gradient:
        raise ValueError("planted")


class Diverges(Raises):
    def fail(self, z_0: Tensor) -> Gradient:
        return Gradient(torch.full_like(z_0, torch.nan))


class Eats(Raises):
    def fail(self, z_0: Tensor) -> Gradient:
        return Gradient(torch.empty(10**15))


class Dies(Raises):
    def fail(self, z_0: Tensor) -> Gradient:
        os.kill(os.getpid(), signal.SIGKILL)
'''
REASONS = {"raises": "planted", "diverges": "not finite", "eats": "out of memory", "dies": "killed 3 times"}
CONFIG = {
    "results": "r",
    "prompts": "prompts/smoke.tsv",
    "methods": ["sds", *REASONS],
    "views": {"count": 8},
    "overrides": ["train.steps=2", "start.count=60"],
    "device": "cpu",
    "reference": {"count": 8, "steps": 2, "omega": 5.0, "shards": 1},
    "ablations": {"prompts": ["p01"], "seeds": 1},
}


@pytest.mark.slow
def test_methods_that_fail_in_every_way_are_rows_of_a_run_that_ends_well(tmp_path: Path) -> None:
    for name in LINKED:
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "baselines", tmp_path / "baselines")
    (tmp_path / "baselines/planted.py").write_text(PLANTED)
    entries = {
        name: {"class": f"baselines.planted:{name.title()}", "code": ["baselines/planted.py"], "title": name}
        for name in REASONS
    }
    with (tmp_path / "baselines/methods.yaml").open("a") as registry:
        registry.write(yaml.safe_dump(entries))
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(CONFIG))
    ran = snakemake("--configfile", "own.yaml", cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "4 assets failed" in ran.stdout
    failed = {
        row["method"]: row["reason"]
        for row in json.loads((tmp_path / "r/tables/table1.json").read_text())["failed"]
    }
    assert all(reason in failed[name] and reason in ran.stdout for name, reason in REASONS.items())
    table = pd.read_csv(tmp_path / "r/tables/table1.csv").set_index("method")
    assert table.loc["sds", "iou"] == table.loc["sds", "iou"] and table.loc[[*REASONS], "iou"].isna().all()
    for made in ("tables/sheet.png", "report/index.html", "plots/heat_map.svg", "tables/claims.md"):
        assert (tmp_path / "r" / made).stat().st_size
    for name in REASONS:
        assert (tmp_path / "r/views" / name / "p01/0/turntable.mp4").stat().st_size
