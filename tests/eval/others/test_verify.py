"""Which numbers of a finished run hold: what is made anew, what is compared, and that tampering is found."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import finished_run
import numpy as np
import pandas as pd
import pytest
import yaml

from eval.others import verify
from eval.views.archive import read_asset
from segmentdreamer.records import file_digest, write_json

FIRST = "sds/p01/0"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run.write_finished(tmp_path_factory.mktemp("run"))


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "run"))


def say(run: Path, capsys: pytest.CaptureFixture, *options: str) -> tuple[int, dict[str, str]]:
    """Exit code, and what is said of files, tables, sample and the rest."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        verify.main([str(run), "--device", "cpu", *options])
    parts: dict[str, str] = {}
    for line in capsys.readouterr().out.splitlines():
        name, colon, _ = line.partition(": ")
        parts[name if colon else list(parts)[-1]] = parts.get(name if colon else list(parts)[-1], "") + line
    return int(stopped.value.code or 0), parts


def edit_scores(run: Path, where: str, by: float) -> None:
    path = run / "scores" / where / "scores.csv"
    rows = pd.read_csv(path)
    rows.loc[rows["metric"] == "clip", "value"] += by
    rows.to_csv(path, index=False, float_format="%.6g")


def swap_assets(run: Path, one: str, other: str) -> None:
    shutil.copyfile(run / "assets" / other / "asset.ply", run / "assets" / one / "asset.ply")


def test_a_run_as_it_was_made_holds_and_says_what_only_a_new_run_measures(
    original: Path, capsys: pytest.CaptureFixture
) -> None:
    code, told = say(original, capsys, "--sample", "3")
    assert code == 0
    assert "3 of 6 assets, drawn by seed 0" in told["sample"]
    assert all("hold (" in told[part] and "all" in told[part] for part in ("files", "tables", "sample"))
    assert "alone, nfe, seconds" in told["not measured again"]


def test_depth_is_scored_by_the_levels_that_a_file_has(
    original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unrounded, a point at the edge of the F-score's distance falls on its other side now and then."""
    finished, kept = verify.read_finished(original), []
    monkeypatch.setattr(verify, "score_asset", lambda *given: kept.append(given[-1]) or no_scores())
    scorers = SimpleNamespace(models=SimpleNamespace(device="cpu"))
    allowed = yaml.safe_load(verify.TOLERANCES.read_text())
    [*verify.check_asset(finished, scorers, ("sds", "p01", 0), allowed)]
    assert np.array_equal(kept[0].depth, read_asset(original / f"views/{FIRST}/views.zip").surface.depth)


def no_scores() -> tuple[pd.DataFrame, dict]:
    return pd.DataFrame({"view": [], "metric": [], "value": []}), {}


def test_a_score_file_that_was_edited_shows_in_the_tables_and_in_the_sample(
    run: Path, capsys: pytest.CaptureFixture
) -> None:
    edit_scores(run, FIRST, 0.5)
    code, told = say(run, capsys, "--sample", "6")
    assert code == 1
    assert "all" in told["files"] and "per_prompt.csv" in told["tables"]
    assert f"scores/{FIRST}/scores.csv" in told["sample"] and "p02" not in told["sample"].partition("file")[2]


def test_an_asset_that_was_swapped_is_not_the_one_of_its_record(
    run: Path, capsys: pytest.CaptureFixture
) -> None:
    swap_assets(run, FIRST, "sctd/p01/0")
    code, told = say(run, capsys, "--sample", "0")
    assert code == 1 and f"assets/{FIRST}/asset.ply" in told["files"] and "all" in told["tables"]


def test_an_asset_that_was_swapped_with_its_record_looks_otherwise(
    run: Path, capsys: pytest.CaptureFixture
) -> None:
    swap_assets(run, FIRST, "sctd/p01/0")
    record = run / "assets" / FIRST / "provenance.json"
    digest = file_digest(record.with_name("asset.ply"))
    write_json(record, json.loads(record.read_text()) | {"asset_sha256": digest})
    code, told = say(run, capsys, "--sample", "6")
    assert code == 1 and "all" in told["files"]
    assert f"views/{FIRST}/views.zip" in told["sample"] and f"scores/{FIRST}/scores.csv" in told["sample"]


def change_protocol(run: Path) -> None:
    path = run / "scores" / FIRST / "protocol.json"
    told = json.loads(path.read_text())
    del told["views_sha256"]
    write_json(path, told)


@pytest.mark.parametrize(
    ("remove", "named"),
    [
        (lambda run: (run / "assets" / FIRST / "provenance.json").unlink(), f"assets/{FIRST}/asset.ply"),
        (lambda run: shutil.rmtree(run / "assets" / FIRST), f"assets/{FIRST}/asset.ply"),
        (change_protocol, f"views/{FIRST}/views.zip"),
    ],
    ids=["a record", "an asset with its record", "a digest"],
)
def test_a_record_or_an_asset_that_was_taken_away_is_a_finding(
    remove: Callable[[Path], None], named: str, run: Path, capsys: pytest.CaptureFixture
) -> None:
    remove(run)
    code, told = say(run, capsys, "--sample", "0")
    assert code == 1 and named in told["files"] and "none in" in told["files"]


def test_a_view_whose_score_was_raised_at_anothers_cost_is_found(
    run: Path, capsys: pytest.CaptureFixture
) -> None:
    path = run / "scores" / FIRST / "scores.csv"
    rows = pd.read_csv(path)
    own = rows.index[rows["metric"] == "clip"]
    rows.loc[own[:2], "value"] += [0.2, -0.2]
    rows.to_csv(path, index=False, float_format="%.6g")
    code, told = say(run, capsys, "--sample", "6")
    assert code == 1 and "clip, worst view" in told["sample"]


def test_a_sampled_asset_that_cannot_be_read_is_a_finding_and_the_rest_is_told(
    run: Path, capsys: pytest.CaptureFixture
) -> None:
    path = run / "assets" / FIRST / "asset.ply"
    path.write_bytes(path.read_bytes()[:900])
    code, told = say(run, capsys, "--sample", "6")
    assert code == 1 and "readable" in str(told) and "114 of 115 hold (6 of 6 assets" in told["sample"]


@pytest.mark.parametrize("file", ["comparisons.csv", "table1.md", "table1.tex", "table1.html", "table1.json"])
def test_a_figure_of_any_form_of_the_tables_that_was_edited_is_named(
    file: str, run: Path, capsys: pytest.CaptureFixture
) -> None:
    path = run / "tables" / file
    text = path.read_text()
    figure = re.findall(r"\d+\.\d\d+", text)[-1]
    before, _, after = text.rpartition(figure)
    path.write_text(f"{before}{figure[:-1]}{(int(figure[-1]) + 1) % 10}{after}")
    code, told = say(run, capsys, "--sample", "0")
    assert code == 1 and f"{file} " in told["tables"]


@pytest.mark.parametrize("file", ["table1.csv", "per_prompt.csv"])
def test_a_cell_of_a_table_that_was_edited_is_named(
    file: str, run: Path, capsys: pytest.CaptureFixture
) -> None:
    path = run / "tables" / file
    text = path.read_text()
    cell = next(word for word in text.replace("\n", ",").split(",") if word.count(".") == 1 and len(word) > 5)
    path.write_text(text.replace(cell, f"{float(cell) * 1.01:.6g}", 1))
    code, told = say(run, capsys, "--sample", "0")
    assert code == 1 and "all" in told["files"] and file in told["tables"]


def test_another_seed_draws_another_sample_and_every_row_is_in_it(original: Path) -> None:
    finished = verify.read_finished(original)
    samples = {tuple(verify.draw(finished, 3, seed)) for seed in range(8)}
    assert len(samples) > 1
    assert {tuple(key[0] for key in sample) for sample in samples} == {("sds", "sctd", "sphere")}


def test_on_another_processor_the_tolerances_are_those_that_were_measured(original: Path) -> None:
    finished, allowed = verify.read_finished(original), yaml.safe_load(verify.TOLERANCES.read_text())
    assert verify.same_machine(original / "assets" / FIRST / "provenance.json")
    assert not verify.same_machine(original / "assets/sphere/p01/0/provenance.json")
    row = {"metric": "clip", "figure": "mean", "method": "", "published": "30"}
    assert verify.tolerated(row, allowed, False) == allowed["other"]["clip"]["all"]
    assert len(finished.scored()) == 6


def test_what_is_no_finished_run_is_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"is no finished run: it has no tables/table1\.json"):
        verify.read_finished(tmp_path)
