"""Every file of a study says whose it is; two studies, or people and a simulation, are never mixed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from simulated_study import METHODS, PROMPTS, analyzed

from eval.study import commands as study
from eval.study.answers import collect
from eval.study.result import read_study


def test_every_file_of_a_study_says_whose_it_is_and_how_large(rehearsal: Path, tmp_path: Path) -> None:
    csv = analyzed(rehearsal, tmp_path)
    name = pd.read_csv(rehearsal / "key.csv")["study"][0]
    raw = [rehearsal / "key.csv", *(rehearsal / "answers").iterdir(), tmp_path / "ranks.csv"]
    for path in raw:  # one row a rank: volunteers and rankings are there to count
        table = pd.read_csv(path)
        assert set(table["study"]) == {name} and set(table["source"]) == {"simulated"}, path
        assert {"volunteer", "group"} <= set(table), path
    results = sorted(tmp_path.glob("study*.csv"))
    assert [path.stem for path in results] == [
        "study", "study_agreement", "study_checks", "study_differences", "study_excluding", "study_prompts",
        "study_worths",
    ]  # fmt: skip
    for path in results:
        whose = pd.read_csv(path)[["study", "source", "volunteers", "rankings", "prompts", "methods"]]
        assert set(map(tuple, whose.to_numpy())) == {(name, "simulated", 6, 24, 6, 5)}, path
    assert read_study(csv, METHODS, PROMPTS).whose == (name, "simulated", 6, 24, 6, 5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source": None}, "missing column source"),
        ({"study": None}, "missing column study"),
        ({"source": "Human"}, "source 'Human' is neither human nor simulated"),
        ({"source": ["human"] + ["simulated"] * 359}, "more than one source: human, simulated"),
        ({"study": ["other"] * 180 + ["one"] * 180}, "more than one study: one, other"),
        ({"study": ""}, "no study id"),
    ],
)
def test_ranks_of_nobody_or_of_two_studies_are_not_analyzed(
    rehearsal: Path, tmp_path: Path, change: dict, words: str
) -> None:
    collected = collect(rehearsal, sorted((rehearsal / "answers").iterdir()))
    dropped = [name for name, value in change.items() if value is None]
    collected.assign(**change).drop(columns=dropped).to_csv(tmp_path / "ranks.csv", index=False)
    with pytest.raises(SystemExit, match=rf"error: .*ranks\.csv: {words}$"):
        study.main(["analyse", "--ranks", str(tmp_path / "ranks.csv"), "--out", str(tmp_path / "study.csv")])
    assert not (tmp_path / "study.csv").exists()


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("study", {"source": None}, "missing column source"),
        ("study_prompts", {"study": None}, "missing column study"),
        ("study_differences", {"volunteers": None}, "missing column volunteers"),
        ("study", {"rankings": "many"}, "volunteers, rankings, prompts, methods are not one count each"),
        ("study_differences", {"source": "human"}, "two studies in one table"),
        ("study_prompts", {"study": "other"}, "two studies in one table"),
        ("study", {"low": "wide"}, "a figure is not a number"),
        ("study_prompts", {"prompt": "p99"}, "ranks on p99, which this table does not have"),
        ("study", {"method": "others"}, "no ranks of this table's methods"),
        ("study", {"question": "q9"}, "unknown question q9"),
    ],
)
def test_the_table_refuses_a_result_of_nobody_or_of_two_studies(
    rehearsal: Path, tmp_path: Path, file: str, change: dict, words: str
) -> None:
    csv = analyzed(rehearsal, tmp_path)
    path = csv.with_stem(file)
    dropped = [name for name, value in change.items() if value is None]
    pd.read_csv(path).assign(**change).drop(columns=dropped).to_csv(path, index=False)
    with pytest.raises(ValueError, match=words) as caught:
        read_study(csv, METHODS, PROMPTS)
    assert "\n" not in str(caught.value)


def test_a_simulated_study_has_columns_of_its_own_and_no_tests(rehearsal: Path, tmp_path: Path) -> None:
    simulated = read_study(analyzed(rehearsal, tmp_path), METHODS, PROMPTS)
    assert set(simulated.means["metric"]) == {"q1_simulated", "q2_simulated", "q3_simulated"}
    assert simulated.differences["p"].isna().all() and "SIMULATED" in str(simulated.whose)
    human = read_study(analyzed(rehearsal, tmp_path, {"source": "human"}), METHODS, PROMPTS)
    assert set(human.means["metric"]) == {"q1", "q2", "q3"} and human.differences["p"].notna().all()
    assert "human: 6 volunteers, 24 rankings a question, 6 prompts, 5 methods" in str(human.whose)
