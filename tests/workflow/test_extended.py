"""The table of every method, and one method beside the published rows: what they plan and leave alone."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from dry_runs import commands, planned, snakemake

from eval import trial
from eval.metrics import columns
from segmentdreamer.methods import registry

METHODS = [name for name, entry in registry().items() if "class" in entry]


def test_every_registered_method_has_a_row_and_table_1_is_not_made(tmp_path: Path) -> None:
    where = ["--config", f"results={tmp_path}/r"]
    ran = snakemake("table_extended", "-n", "-p", *where)
    assert ran.returncode == 0, ran.stderr
    jobs, made = planned(ran.stdout + ran.stderr), commands(ran.stdout + ran.stderr)
    assert jobs["generate"] == 2 * len(METHODS) and jobs["table1_of_all"] == 1 and "table1" not in jobs
    command = made[f"{tmp_path}/r/tables/extended/table1.csv"]
    assert f"--methods {' '.join(['sds', 'ism', 'cds', 'gcs', 'sctd'])} csd" in command
    assert "--selection extended" in command and all(f" {name} " in command for name in METHODS)
    assert f"{tmp_path}/r/plots/extended/quality_nfe.svg" in made
    assert f"{tmp_path}/r/tables/extended/sheet.png" in made


def test_the_extended_table_works_with_forty_prompts() -> None:
    ran = snakemake("table_extended", "-n", "--configfile", "workflow/config/toybox40.yaml")
    assert ran.returncode == 0, ran.stderr
    assert planned(ran.stdout + ran.stderr)["generate"] == len(METHODS) * 2 * 8


def test_one_method_is_tried_alone_and_without_its_name_told_so(tmp_path: Path) -> None:
    where = ["--config", f"results={tmp_path}/r"]
    ran = snakemake("try_method", "-n", *where, "method=vsd")
    assert ran.returncode == 0, ran.stderr
    jobs = planned(ran.stdout + ran.stderr)
    assert (jobs["generate"], jobs["try_method"]) == (2, 1) and "table1" not in jobs
    for name in ("", "method=vds"):
        ran = snakemake("try_method", "-n", *where, *filter(None, [name]))
        assert ran.returncode and "error: try_method: --config method=NAME, one of sds" in ran.stderr


def write(root: Path, method: str, value: float, protocol: str = "p") -> None:
    """Scores of one prompt, as a run leaves them."""
    folder, asset = root / f"scores/{method}/p01/0", root / f"assets/{method}/p01/0"
    folder.mkdir(parents=True)
    asset.mkdir(parents=True)
    rows = [[method, "p01", 0, view, "clip", value] for view in (0, 1)]
    names = ["method", "prompt", "seed", "view", "metric", "value"]
    pd.DataFrame(rows, columns=names).to_csv(folder / "scores.csv", index=False)
    record = {"status": "ok", "reason": "", "protocol": {}, "protocol_id": protocol}
    (folder / "protocol.json").write_text(json.dumps(record))


def test_the_row_stands_below_those_of_the_same_prompts() -> None:
    names = ["method", "prompt", "metric", "value"]
    known = pd.DataFrame([["sds", "p01", "clip", 80.0], ["mine", "p01", "clip", 1.0]], columns=names)
    own = pd.DataFrame({"method": "mine", "prompt": "p01", "metric": "clip", "value": [81.0, 82.0]})
    header, first, last = trial.table(own, known, {"sds": "SDS"}, "mine").splitlines()
    assert header.split() == [columns()["clip"]["name"], "↑"]
    assert first.split() == ["SDS", "80.00"] and last.split() == [">", "mine", "81.50"]


@pytest.mark.parametrize("protocol", ["p", "other"])
def test_other_protocols_and_missing_prompts_are_told(
    protocol: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "run", "mine", 81.0, protocol)
    published = tmp_path / "published"
    published.mkdir()
    (published / "table1.json").write_text(json.dumps({"methods": {"sds": "SDS"}, "protocol_id": "p"}))
    (published / "per_prompt.csv").write_text("method,prompt,metric,value\nsds,p02,clip,80\n")
    trial.main([str(tmp_path / "run"), str(published), "--method", "mine", "--prompts", "p01"])
    told = capsys.readouterr().out
    assert "81.00" in told and "the published run has 0 of these 1 prompts" in told
    assert ("other protocols" in told) == (protocol != "p")
