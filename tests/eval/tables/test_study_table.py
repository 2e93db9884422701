"""Q1 to Q3 in Table 1: whose study it was stands wherever its figures do, and its intervals are its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import simulated_run as simulated

from eval.claims import decision as claims
from eval.metrics import columns
from eval.study import commands as study
from eval.tables import table1 as table

TABLES = ("table1.md", "table1_extended.md", "table1.tex", "table1.html")
QUESTIONS = ("q1", "q2", "q3")
REJECTED = ["study_differences", "study_prompts"]


def write_study(root: Path, source: str = "simulated") -> Path:
    """study.csv of 12 volunteers over the run's prompts; with another source, as if those had ranked."""
    worths = [f"{method}={4**place}" for place, method in enumerate(simulated.METHODS)]
    prompts = str(simulated.write_prompts(root / "prompts.tsv"))
    study.main(["simulate", "--prompts", prompts, "--methods", *simulated.METHODS, "--worths", *worths,
                "--volunteers", "12", "--out", str(root / "study")])  # fmt: skip
    files = map(str, sorted((root / "study/answers").iterdir()))
    ranks = root / "ranks.csv"
    study.main(["collect", "--study", str(root / "study"), "--answers", *files, "--out", str(ranks)])
    pd.read_csv(ranks).assign(source=source).to_csv(ranks, index=False)
    study.main(["analyse", "--ranks", str(ranks), "--resamples", "300", "--out", str(root / "study.csv")])
    return root / "study.csv"


def write_table(root: Path, *options: str) -> Path:
    table.main([*simulated.arguments(root), *options])
    return root / "tables"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(simulated.write_run(tmp_path_factory.mktemp("plain"), features=False))


@pytest.fixture(scope="module")
def human(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = simulated.write_run(tmp_path_factory.mktemp("human"), features=False)
    return write_table(root, "--study", str(write_study(root, "human")))


@pytest.fixture(scope="module")
def pretended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = simulated.write_run(tmp_path_factory.mktemp("pretended"), features=False)
    return write_table(root, "--study", str(write_study(root)))


def test_a_study_brings_its_columns_and_nothing_else_does(human: Path, plain: Path) -> None:
    read = pd.read_csv(human / "table1.csv").set_index("method")
    assert {*QUESTIONS} <= {*read} and read.loc[list(simulated.CONTROLS), [*QUESTIONS]].isna().all(axis=None)
    assert "Q2, realism ↓" in (human / "table1.md").read_text()
    assert not [name for name in pd.read_csv(plain / "table1.csv") if name.startswith((*QUESTIONS, "study"))]
    assert json.loads((plain / "table1.json").read_text())["study"] is None
    for name in TABLES:
        assert "Q1" not in (plain / name).read_text(), name


def test_the_table_prints_the_studys_own_interval_and_tests_and_no_second_ones(human: Path) -> None:
    """Those over volunteers and prompts, not one over prompts alone."""
    read = pd.read_csv(human / "table1.csv").set_index("method")
    theirs = pd.read_csv(human.parent / "study.csv").set_index(["question", "method"])
    for question in QUESTIONS:
        for method in simulated.METHODS:
            mine = read.loc[method, [question, f"{question}_low", f"{question}_high"]].astype(float)
            assert mine.tolist() == pytest.approx(
                theirs.loc[(question, method), ["mean", "low", "high"]].tolist()
            )
    own = pd.read_csv(human.parent / "study_differences.csv").set_index(["question", "method", "against"])
    pairs = pd.read_csv(human / "comparisons.csv").query("metric in @QUESTIONS")
    assert len(pairs) == 3 * 10
    for row in pairs.itertuples():
        expected = own.loc[(row.metric, row.method, row.against), ["difference", "low", "high", "p"]]
        assert [row.difference, row.low, row.high, row.p] == pytest.approx(expected.tolist())
    assert read[[f"{question}_p_first" for question in QUESTIONS]].isna().all(axis=None)
    assert not set(pd.read_csv(human / "per_prompt.csv")["metric"]) & {*QUESTIONS}


@pytest.mark.parametrize(
    ("made", "said"), [("human", "human"), ("pretended", "SIMULATED (a program ranked, no person)")]
)
def test_whatever_shows_q1_to_q3_says_whose_study_it_was(
    made: str, said: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(made)
    name = pd.read_csv(folder.parent / "study.csv")["study"][0]
    sentence = f"study {name}, {said}: 12 volunteers, 96 rankings a question, 8 prompts, 5 methods"
    for path in TABLES:
        assert sentence in (folder / path).read_text(), path
    for path in ("table1.csv", "table1_extended.csv"):
        whose = pd.read_csv(folder / path)[["study", "source", "volunteers", "rankings"]]
        source = "human" if made == "human" else "simulated"
        assert set(map(tuple, whose.to_numpy())) == {(name, source, 12, 96)}, path
    record = json.loads((folder / "table1.json").read_text())["study"]
    assert record["text"] == sentence and record["study"] == name
    assert (folder / "table1.html").read_text().count(sentence) == 1 + 2 * 15  # caption, and cells twice


def test_a_simulated_study_stands_apart_has_no_p_and_no_study_moves_the_tables_tests(
    human: Path, pretended: Path, plain: Path
) -> None:
    header = pd.read_csv(pretended / "table1.csv")
    assert not {*QUESTIONS} & {*header} and {f"{q}_simulated" for q in QUESTIONS} <= {*header}
    for name in TABLES:
        assert "Q3, detail (SIMULATED)" in (pretended / name).read_text(), name
        assert "(SIMULATED)" not in (human / name).read_text(), name
    found, without = (pd.read_csv(folder / "comparisons.csv") for folder in (pretended, plain))
    ranked = found["metric"].str.endswith("_simulated")
    assert found.loc[ranked, ["p", "holm"]].isna().all(axis=None) and found.loc[ranked, "low"].notna().all()
    pd.testing.assert_frame_equal(found[~ranked].reset_index(drop=True), without)
    asked = pd.read_csv(human / "comparisons.csv").query("metric == 'q1'")
    assert asked["p"].notna().all() and asked[["holm", "holm_pairs"]].isna().all(axis=None)


def decided(tables: Path) -> tuple[str, list[dict], str]:
    """The claim about users: its verdict, its contrasts and the page."""
    claims.main(["--results", str(tables.parent)])
    ledger = json.loads((tables / "claims.json").read_text())["claims"]
    (mine,) = [claim for claim in ledger if claim["claim"] == "study_first"]
    return mine["verdict"], mine["contrasts"], (tables / "claims.md").read_text()


def test_a_claim_about_users_rests_on_the_studys_own_interval_and_names_the_study(human: Path) -> None:
    verdict, contrasts, page = decided(human)
    own = pd.read_csv(human.parent / "study_differences.csv").set_index(["question", "method", "against"])
    assert verdict == "supported" and len(contrasts) == 3 * 4
    for row in contrasts:
        expected = own.loc[(row["metric"], "sctd", row["than"]), ["difference", "low", "high", "p"]]
        found = [row["estimate"], row["low"], row["high"], row["p"]]
        assert found == pytest.approx(expected.tolist(), rel=1e-3)
    record = json.loads((human / "table1.json").read_text())["study"]
    assert page.count(record["text"]) == 12


def test_no_claim_about_users_is_decided_by_a_simulation(pretended: Path) -> None:
    """Nor does the paper's figure stand beside it."""
    verdict, contrasts, page = decided(pretended)
    assert verdict == "not measured" and {row["estimate"] for row in contrasts} == {None}
    assert "no person was asked: study" in page and "SIMULATED" in page
    for question in QUESTIONS:
        spec = columns()[f"{question}_simulated"]
        assert spec["study"] and not {"paper", "order"} & {*spec}


def test_a_file_without_identity_is_refused_in_one_line(tmp_path: Path) -> None:
    root = simulated.write_run(tmp_path, features=False)
    rows = [(m, p, q, 1.0) for m in simulated.METHODS for p in simulated.PROMPTS for q in QUESTIONS]
    pd.DataFrame(rows, columns=["method", "prompt", "metric", "value"]).to_csv(
        root / "study.csv", index=False
    )
    with pytest.raises(SystemExit, match=r"^error: .*study\.csv: missing column study, source") as caught:
        write_table(root, "--study", str(root / "study.csv"))
    assert "\n" not in str(caught.value) and not (root / "tables").exists()
    csv = write_study(root)
    for ending in REJECTED:
        csv.with_stem(ending).rename(root / "away.csv")
        with pytest.raises(SystemExit, match=rf"^error: .*{ending}\.csv"):
            write_table(root, "--study", str(csv))
        (root / "away.csv").rename(csv.with_stem(ending))


def test_a_method_that_nobody_ranked_has_a_dash(tmp_path: Path) -> None:
    root = simulated.write_run(tmp_path, features=False)
    csv = write_study(root)
    for path in (csv, csv.with_stem("study_differences")):
        rows = pd.read_csv(path)
        names = rows[[name for name in ("method", "against") if name in rows]]
        rows[~names.isin(["cds"]).any(axis=1)].to_csv(path, index=False)
    read = pd.read_csv(write_table(root, "--study", str(csv)) / "table1.csv").set_index("method")
    assert np.isnan(read.loc["cds", "q1_simulated"]) and read.loc["sctd", "q1_simulated"] < 2.5
