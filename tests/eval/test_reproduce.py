"""Whether a fresh run gives the published figures: what is compared, how closely, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import simulated_run as simulated
import yaml

from eval import reproduce
from eval.metrics import columns
from eval.report import published
from eval.tables import table1 as table
from segmentdreamer.records import write_json

PUBLISHED = Path("results/published/mini")
TOLERANCES = yaml.safe_load(reproduce.TOLERANCES.read_text())


def made_on(processor: str, steps: int = 4, omega: float = 5.0) -> str:
    return json.dumps(
        {
            "config": {"train": {"steps": steps}},
            "hyper_parameters": {"omega": omega},
            "asset_sha256": "0",
            "prompt": "x",
            "weights_sha256": "1",
            "versions": {"torch": "2"},
            "machine": {"processor": processor},
        }
    )


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of all five methods, and its published folder beside it."""
    root = simulated.write_run(tmp_path_factory.mktemp("run"), failed=(), features=False)
    for path in root.rglob("provenance.json"):
        path.write_text(made_on("Model X"))
    table.main(simulated.arguments(root))
    shutil.copytree(root / "tables", root / "published")
    write_json(root / "published/manifest.json", published.manifest(published.read_records(root)))
    return root


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    """A copy of the run's tables and records, to be tampered with."""
    shutil.copytree(original / "assets", tmp_path / "assets")
    shutil.copytree(original / "tables", tmp_path / "tables")
    return tmp_path


@pytest.fixture
def judge(original: Path, run: Path, capsys: pytest.CaptureFixture) -> Callable[[], tuple[Any, str]]:
    """Exit code and what is said of the tampered run."""

    def ask() -> tuple[Any, str]:
        with pytest.raises(SystemExit) as stopped:
            reproduce.main([str(run), str(original / "published")])
        return stopped.value.code, capsys.readouterr().out

    return ask


def change(run: Path, file: str, where: dict[str, str], column: str, by: float) -> None:
    """Add to one figure of a table."""
    path = run / "tables" / file
    rows = pd.read_csv(path)
    mine = (rows[list(where)] == list(where.values())).all(axis=1)
    assert mine.sum() == 1
    rows.loc[mine, column] += by
    rows.to_csv(path, index=False, float_format="%.6g")


def elsewhere(run: Path) -> None:
    for path in run.rglob("provenance.json"):
        path.write_text(made_on("Model Y"))


ONE = {"method": "sds", "prompt": "p02", "metric": "clip"}
CDS = ONE | {"method": "cds"}


def test_the_same_run_is_reproduced(judge: Callable[[], tuple[Any, str]]) -> None:
    code, said = judge()
    assert code == 0 and said.startswith("reproduced: ") and "the published run's processor" in said


def test_the_published_run_reproduces_itself(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="0"):
        reproduce.main([str(PUBLISHED), str(PUBLISHED)])
    assert "reproduced: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "where", "column", "by"),
    [
        ("per_prompt.csv", ONE, "value", 0.001),
        ("summary.csv", {"method": "sctd", "metric": "iou"}, "mean", 1e-4),
        ("summary.csv", {"method": "sds", "metric": "toy_reward"}, "p", 0.01),
        ("table1.csv", {"method": "gcs"}, "toy_reward_low", 0.01),
        ("table1.csv", {"method": "gcs"}, "failed", 1),
    ],
)
def test_a_tampered_figure_is_found_and_named(
    run: Path, judge: Callable[[], tuple[Any, str]], file: str, where: dict[str, str], column: str, by: float
) -> None:
    change(run, file, where, column, by)
    code, said = judge()
    assert code == 1 and said.startswith("not reproduced: 1 of ")
    row = said.splitlines()[-1].split()
    assert row[0] == file and set(where.values()) <= set(row)


def test_a_figure_that_is_missing_or_new_is_found(run: Path, judge: Callable[[], tuple[Any, str]]) -> None:
    path = run / "tables/per_prompt.csv"
    rows = pd.read_csv(path)
    clip = rows["metric"] == "clip"
    rows = pd.concat([rows[~clip], rows[clip].replace({"prompt": {"p08": "p99"}})])
    rows.to_csv(path, index=False, float_format="%.6g")
    code, said = judge()
    assert code == 1 and said.startswith("not reproduced: 14 of ") and said.count(" none ") == 14


def test_what_the_machine_was_like_is_not_compared(run: Path, judge: Callable[[], tuple[Any, str]]) -> None:
    change(run, "per_prompt.csv", ONE | {"metric": "seconds"}, "value", 100)
    assert judge()[0] == 0


def test_other_processors_may_differ_by_what_was_measured_and_no_more(
    run: Path, judge: Callable[[], tuple[Any, str]]
) -> None:
    elsewhere(run)
    reach = TOLERANCES["other"]["clip"]
    change(run, "per_prompt.csv", CDS, "value", 0.9 * reach["cds"])
    change(run, "per_prompt.csv", ONE, "value", 0.9 * reach["all"])
    change(run, "summary.csv", {"method": "cds", "metric": "toy_reward"}, "holm", 0.3)  # a step of an order
    code, said = judge()
    assert code == 0 and "another processor" in said
    change(run, "per_prompt.csv", ONE, "value", 0.2 * reach["all"])
    code, said = judge()
    assert code == 1 and said.startswith("not reproduced: 1 of ") and reach["cds"] > reach["all"]


def test_counts_are_equal_on_every_processor(run: Path, judge: Callable[[], tuple[Any, str]]) -> None:
    elsewhere(run)
    change(run, "summary.csv", {"method": "cds", "metric": "clip"}, "n", -1)
    assert judge()[0] == 1


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("scale", "paper", "scale paper, published mini"),
        ("seeds", 2, "seeds 2, published 1"),
        ("prompts", ["p01", "p02"], "prompts p01, p02, published p01, p02, p03"),
        ("methods", {"sds": "SDS"}, "methods sds, published sds, ism, cds, gcs, sctd"),
        ("protocols", {}, "protocols , published clip"),
    ],
)
def test_another_run_is_refused_by_what_differs(
    run: Path, judge: Callable[[], tuple[Any, str]], key: str, value: Any, words: str
) -> None:
    path = run / "tables/table1.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    code, said = judge()
    assert str(code).startswith("error: another run than the published one: ") and words in code and not said
    assert "\n" not in code


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (made_on("Model X", steps=5), "train.steps 5, published 4"),
        (made_on("Model X", omega=7.5), "omega 7.5, published 5.0"),
    ],
)
def test_other_settings_are_refused_by_asset_and_name(
    run: Path, judge: Callable[[], tuple[Any, str]], record: str, words: str
) -> None:
    (run / "assets/ism/p03/0/provenance.json").write_text(record)
    assert judge()[0] == f"error: other settings than the published ones, ism/p03/0: {words}"


def test_an_asset_that_was_not_made_is_named(run: Path, judge: Callable[[], tuple[Any, str]]) -> None:
    shutil.rmtree(run / "assets/gcs/p08")
    assert "it has no asset gcs/p08/0" in judge()[0]


def test_every_tolerance_is_of_a_metric_and_has_a_reason() -> None:
    assert set(TOLERANCES["other"]) <= set(columns())
    assert all(entry.get("why") for name, entry in TOLERANCES.items() if name != "other")
    for metric, entry in TOLERANCES["other"].items():
        of_cds, of_others = entry["measured"]
        assert entry["cds"] > of_cds and entry["all"] > of_others, metric


def test_no_tables_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: .*table1\.json"):
        reproduce.main([str(tmp_path), str(PUBLISHED)])
