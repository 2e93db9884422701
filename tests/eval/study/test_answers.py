"""What is refused of volunteers' answers, and how the rest is unblinded."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from simulated_study import WORTHS, simulation

from eval.study import commands as study
from eval.study.answers import collect, read_key
from eval.study.simulation import rank_by_worths


def answer(folder: Path, seed: int) -> pd.DataFrame:
    """What the first volunteer of a simulated study might save."""
    key = pd.read_csv(folder / "key.csv").query("volunteer == 'v01'")
    return rank_by_worths(key, WORTHS, seed).reset_index(drop=True)


def test_answers_are_unblinded_exactly(rehearsal: Path) -> None:
    key = pd.read_csv(rehearsal / "key.csv")
    files = sorted((rehearsal / "answers").iterdir())
    answers, ranks = pd.concat(map(pd.read_csv, files)), collect(rehearsal, files)
    assert len(ranks) == len(answers) == 6 * 4 * 5 * 3
    expected = answers.merge(key.drop(columns=["study", "source"]), on=["volunteer", "group", "video"])
    columns = ["study", "source", "volunteer", "group", "prompt", "question", "method", "rank"]
    assert set(map(tuple, ranks[columns].to_numpy())) == set(map(tuple, expected[columns].to_numpy()))


def spoil(answers: pd.DataFrame, how: str) -> pd.DataFrame:
    """One volunteer's answers with one thing wrong."""
    first = answers.index[0]
    if how in answers.columns:
        return answers.astype(str).assign(**{how: ["nobody", *answers[how].astype(str).iloc[1:]]})
    if how == "tie":
        ranks = answers["rank"].copy()
        ranks.iloc[0] = ranks.iloc[1]
        return answers.assign(rank=ranks)
    return {
        "duplicate": pd.concat([answers, answers.iloc[:1]]),
        "hole": answers.drop(index=first),
        "no rank": answers.drop(columns="rank"),
        "no source": answers.drop(columns="source"),
        "human": answers.assign(source=["human", *answers["source"].iloc[1:]]),
        "empty": answers.iloc[:0],
    }[how]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("tie", r"v01\.csv: volunteer v01, group 1, q1: tie, rank \d is given twice"),
        ("duplicate", r"v01\.csv: duplicate answer for volunteer v01, group 1, q1, video \w+\.mp4"),
        ("hole", r"v01\.csv: volunteer v01, group 1, q1: 4 of 5 videos are ranked"),
        ("study", r"v01\.csv: belongs to study 'nobody', not to '\w+'"),
        ("source", r"v01\.csv: source 'nobody', but study \w+ is simulated"),
        ("no source", r"v01\.csv: missing column source"),
        ("human", r"v01\.csv: source 'human', but study \w+ is simulated"),
        ("volunteer", r"v01\.csv: unknown volunteer 'nobody'"),
        ("group", r"v01\.csv: unknown group 'nobody' of volunteer v01"),
        ("question", r"v01\.csv: unknown question 'nobody'"),
        ("video", r"v01\.csv: unknown video 'nobody' of volunteer v01, group 1"),
        ("rank", r"v01\.csv: volunteer v01, group 1, q1: rank 'nobody' is not one of 1 to 5"),
        ("no rank", r"v01\.csv: missing column rank"),
        ("empty", "no answers to collect"),
    ],
)
def test_a_doubtful_answer_is_refused_in_one_line(
    rehearsal: Path, tmp_path: Path, how: str, words: str
) -> None:
    path = tmp_path / "v01.csv"
    spoil(answer(rehearsal, 1), how).to_csv(path, index=False)
    command = ["collect", "--study", str(rehearsal), "--answers", str(path)]
    with pytest.raises(SystemExit, match=words) as caught:
        study.main([*command, "--out", str(tmp_path / "ranks.csv")])
    assert "\n" not in str(caught.value) and not (tmp_path / "ranks.csv").exists()


def test_the_same_file_twice_is_refused_and_an_unfinished_volunteer_is_not(
    rehearsal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers, path = answer(rehearsal, 2), tmp_path / "v01.csv"
    answers[answers["group"] < 3].to_csv(path, index=False)
    with pytest.raises(ValueError, match="duplicate answer for volunteer v01"):
        collect(rehearsal, [path, path])
    command = ["collect", "--study", str(rehearsal), "--answers", str(path)]
    study.main([*command, "--out", str(tmp_path / "ranks.csv")])
    said = r"study \w+, simulated: 2 of 24 groups ranked, by 1 of 6 volunteers\n"
    assert re.fullmatch(said, capsys.readouterr().out)


def test_a_key_that_is_handed_out_is_for_people_and_takes_no_simulated_answer(
    kit: Path, tmp_path: Path
) -> None:
    key = pd.read_csv(kit / "key.csv")
    assert set(key["source"]) == {"human"}
    rank_by_worths(key, WORTHS).query("volunteer == 'v01'").to_csv(tmp_path / "v01.csv", index=False)
    with pytest.raises(ValueError, match=r"v01\.csv: source 'simulated', but study \w+ is human"):
        collect(kit, [tmp_path / "v01.csv"])
    key.drop(columns="source").to_csv(tmp_path / "key.csv", index=False)
    with pytest.raises(ValueError, match=r"key\.csv: missing column source"):
        read_key(tmp_path)


def test_a_study_is_not_simulated_over_another(kit: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: .*key\.csv exists: a study is not overwritten"):
        study.main(simulation(kit))


@pytest.mark.parametrize(
    ("worth", "words"),
    [("sds", "not METHOD=NUMBER"), ("nobody=1", "no such method"), ("sds=0", "not positive")],
)
def test_a_worth_that_is_none_is_refused(tmp_path: Path, worth: str, words: str) -> None:
    with pytest.raises(SystemExit, match=words):
        study.main([*simulation(tmp_path / "study"), "--worths", worth])
