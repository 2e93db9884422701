"""The ranking study: balance, blinding, the page, the checks at the door, and what the analysis recovers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from eval.study import commands as study
from eval.study.analysis import Resamples, analyze, crossed_weights, kendall_w, plackett_luce, prompt_ranks
from eval.study.answers import collect, read_key
from eval.study.assignment import add_checks, assign
from eval.study.checks import check_volunteers
from eval.study.kit import page
from eval.study.result import read_study
from eval.study.simulation import rank_by_worths
from eval.views.archive import write_failure
from eval.views.render import write_turntable

ROOT = Path(__file__).parents[3]
TOYBOX = str(ROOT / "prompts/toybox.tsv")
METHODS = ["sds", "ism", "cds", "gcs", "sctd"]
PROMPTS = [f"p{i:02d}" for i in range(1, 41)]
WORTHS = dict(zip(METHODS, [0.05, 0.15, 0.1, 0.25, 0.45], strict=True))


# --- assignment --------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 45), st.integers(1, 30), st.integers(1, 12), st.integers(2, 6), st.integers(1, 3),
    st.integers(0, 9),
)  # fmt: skip
def test_prompts_positions_and_seeds_are_balanced(
    prompts: int, volunteers: int, groups: int, methods: int, seeds: int, shuffle: int
) -> None:
    names = [f"p{i}" for i in range(prompts)]
    key = assign(names, [f"m{i}" for i in range(methods)], volunteers, groups, seeds, shuffle)
    assert len(key) == volunteers * groups * methods
    once = key[key["position"] == 1]
    counts = once["prompt"].value_counts().reindex(names, fill_value=0)
    assert counts.max() - counts.min() <= 1
    places = pd.crosstab(key["method"], key["position"])
    assert places.max(axis=None) - places.min(axis=None) <= 1
    for _, mine in once.groupby("volunteer"):
        own = mine["prompt"].value_counts().reindex(names, fill_value=0)
        assert own.max() - own.min() <= 1  # so nobody sees a prompt twice before all others once
    for _, group in key.groupby(["volunteer", "group"]):
        assert group["prompt"].nunique() == group["seed"].nunique() == 1 and group["method"].is_unique
    turns = once.groupby(["prompt", "seed"]).size().unstack(fill_value=0)
    assert (turns.max(axis=1) - turns.min(axis=1)).max() <= 1 or turns.shape[1] == 1


def test_the_papers_study_shows_each_prompt_eight_times_and_each_position_alike() -> None:
    key = assign(PROMPTS, METHODS)
    assert set(key.drop_duplicates(["volunteer", "group"])["prompt"].value_counts()) == {8}
    assert set(pd.crosstab(key["method"], key["position"]).to_numpy().ravel()) == {64}


def test_a_plan_follows_from_its_seed_and_names_tell_nothing() -> None:
    key, same, other = (assign(PROMPTS, METHODS, shuffle_seed=s) for s in (0, 0, 1))
    pd.testing.assert_frame_equal(key, same)
    assert not set(key["video"]) & set(other["video"]) and key["study"][0] != other["study"][0]
    assert key["video"].str.fullmatch(r"[0-9a-f]{12}\.mp4").all()
    assert key.groupby("video")[["method", "prompt", "seed"]].nunique().max(axis=None) == 1
    assert key["video"].nunique() == 200
    ordered = key.drop_duplicates("video").sort_values("video")["method"]
    assert stats.kruskal(*[np.flatnonzero(ordered == m) for m in METHODS]).pvalue > 0.01


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"methods": ["sds"]}, "two different"),
        ({"methods": ["sds", "sds"]}, "two different"),
        ({"groups": 0}, "at least one"),
    ],
)
def test_a_plan_that_ranks_nothing_is_refused(change: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        assign(**{"prompts": PROMPTS, "methods": METHODS} | change)


# --- kit ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's videos, each with bytes of its own; cds failed on p03."""
    root = tmp_path_factory.mktemp("run")
    for method in METHODS:
        for prompt in [f"p{i:02d}" for i in range(1, 7)]:
            folder = root / "views" / method / prompt / "0"
            folder.mkdir(parents=True)
            (folder / "turntable.mp4").write_bytes(f"{method} {prompt}".encode())
    write_failure("no Gaussian left", root / "views/cds/p03/0/views.zip")
    return root


@pytest.fixture(scope="module")
def kit(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("kit") / "study"
    study.main([
        "assign", "--results", str(results), "--prompts", TOYBOX, "--methods", *METHODS,
        "--volunteers", "6", "--groups", "4", "--out", str(out),
    ])  # fmt: skip
    return out


def test_the_handout_holds_the_right_videos_and_no_word_about_methods(kit: Path, results: Path) -> None:
    key = pd.read_csv(kit / "key.csv")
    handout = kit / "handout"
    assert {path.name for path in handout.iterdir()} == {"videos", *(f"v0{i}.html" for i in range(1, 7))}
    assert {path.name for path in (handout / "videos").iterdir()} == set(key["video"])
    for row in key.itertuples():
        assert (handout / "videos" / row.video).read_text() == f"{row.method} {row.prompt}"
    text = (handout / "v01.html").read_text()
    assert not [method for method in METHODS if re.search(rf"\b{method}\b", text, re.IGNORECASE)]
    assert "p03" not in set(key["prompt"]) and len(set(key["prompt"])) == 5  # cds failed there


class Elements(HTMLParser):
    """Tags, ids and outside references of a page; an unclosed or crossed element is an error."""

    VOID = frozenset({"meta", "link", "img", "input", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        values = dict(attrs)
        self.ids += [values["id"] or ""] if "id" in values else []
        self.links += [values[name] or "" for name in ("src", "href") if name in values]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_sound_self_contained_and_shows_the_plan_in_its_order(kit: Path) -> None:
    text = (kit / "handout/v02.html").read_text()
    parsed = Elements()
    parsed.feed(text)
    assert parsed.open == [] and parsed.links == [] and len(set(parsed.ids)) == len(parsed.ids)
    assert set(re.findall(r'find\("(\w+)"\)', text)) <= set(parsed.ids)
    assert "http" not in text and "$" not in text
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    key = pd.read_csv(kit / "key.csv").query("volunteer == 'v02'")
    shown = [(g["group"], p + 1, v) for g in data["groups"] for p, v in enumerate(g["videos"])]
    assert shown == list(key[["group", "position", "video"]].itertuples(index=False, name=None))
    assert list(data["questions"]) == ["q1", "q2", "q3"]


def test_a_prompt_cannot_break_the_page() -> None:
    key = assign(["p01"], ["a", "b"], 1, 1)
    text = page(key, {"p01": '</script><b>"$data" & more'})
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert data["groups"][0]["prompt"] == '</script><b>"$data" & more'


def test_a_study_is_not_overwritten_and_a_missing_video_is_named(
    kit: Path, results: Path, tmp_path: Path
) -> None:
    common = ["--results", str(results), "--prompts", TOYBOX]
    with pytest.raises(SystemExit, match=r"error: .*key\.csv exists"):
        study.main(["assign", *common, "--methods", "sds", "ism", "--out", str(kit)])
    with pytest.raises(SystemExit, match=r"error: no video .*nobody/p01/0/turntable\.mp4"):
        study.main(["assign", *common, "--methods", "sds", "nobody", "--out", str(tmp_path)])


# --- answers -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated study: its key, and its answers."""
    out = tmp_path_factory.mktemp("rehearsal") / "study"
    study.main(simulation(out, "--volunteers", "6", "--groups", "4"))
    return out


def simulation(out: Path, *options: str) -> list[str]:
    worths = [f"{method}={worth}" for method, worth in WORTHS.items()]
    return ["simulate", "--prompts", TOYBOX, "--methods", *METHODS, "--worths", *worths, *options,
            "--out", str(out)]  # fmt: skip


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


# --- whose study -------------------------------------------------------------------------------------------


def analyzed(folder: Path, out: Path, change: dict | None = None) -> Path:
    """study.csv of a study's answers, whose ranks may be changed in between."""
    files = map(str, sorted((folder / "answers").iterdir()))
    study.main(["collect", "--study", str(folder), "--answers", *files, "--out", str(out / "ranks.csv")])
    pd.read_csv(out / "ranks.csv").assign(**(change or {})).to_csv(out / "ranks.csv", index=False)
    study.main(["analyse", "--ranks", str(out / "ranks.csv"), "--resamples", "50",
                "--out", str(out / "study.csv")])  # fmt: skip
    return out / "study.csv"


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


# --- analysis ----------------------------------------------------------------------------------------------


def expected_ranks(worths: dict[str, float]) -> dict[str, float]:
    """Under Plackett-Luce i beats j with chance w_i / (w_i + w_j)."""
    return {m: 1 + sum(v / (v + w) for n, v in worths.items() if n != m) for m, w in worths.items()}


def test_the_round_trip_recovers_the_preference_that_was_simulated(tmp_path: Path) -> None:
    out, csv = tmp_path / "study", tmp_path / "tables" / "study.csv"
    study.main(simulation(out, "--seed", "3"))
    files = map(str, sorted((out / "answers").iterdir()))
    study.main(["collect", "--study", str(out), "--answers", *files, "--out", str(tmp_path / "ranks.csv")])
    study.main(["analyse", "--ranks", str(tmp_path / "ranks.csv"), "--out", str(csv)])
    table = pd.read_csv(csv)
    assert table.groupby("question")["mean"].sum().round(2).to_dict() == {"q1": 15.0, "q2": 15.0, "q3": 15.0}
    assert set(table["rankings"]) == {320} and set(table["volunteers"]) == {40}
    truth = table["method"].map(expected_ranks(WORTHS))
    assert (table["mean"] - truth).abs().max() < 4 * 1.4 / np.sqrt(320)
    assert ((table["low"] <= truth) & (truth <= table["high"])).sum() >= 13  # of 15
    worths = pd.read_csv(csv.with_stem("study_worths"))
    assert (worths["worth"] - worths["method"].map(WORTHS)).abs().max() < 0.08
    assert ((worths["low"] < worths["worth"]) & (worths["worth"] < worths["high"])).all()
    assert worths.groupby("question")["worth"].sum().tolist() == pytest.approx([1, 1, 1], abs=1e-4)
    for question, mine in worths.groupby("question"):
        assert mine.sort_values("worth")["method"].iloc[-1] == "sctd", question
    agreement = pd.read_csv(csv.with_stem("study_agreement"))
    assert agreement["question"].tolist() == ["q1", "q2", "q3"] and agreement["w"].between(0.1, 0.9).all()
    per_prompt = pd.read_csv(csv.with_stem("study_prompts"))
    assert per_prompt.groupby(["prompt", "question"])["value"].sum().to_numpy() == pytest.approx(15, abs=1e-3)


def rankings(n: int, rng: np.random.Generator, worths: dict[str, float] = WORTHS) -> np.ndarray:
    return rng.exponential(1 / np.array(list(worths.values())), (n, len(worths))).argsort(1).argsort(1) + 1.0


def test_kendalls_w_is_friedmans_statistic_rescaled_and_has_its_known_ends() -> None:
    values = rankings(30, np.random.default_rng(4))
    w = kendall_w(values)
    assert w * 30 * 4 == pytest.approx(stats.friedmanchisquare(*values.T).statistic)
    assert kendall_w(np.tile([2.0, 1, 3], (5, 1))) == 1
    assert kendall_w(np.array(list(permutations([1.0, 2, 3])))) == 0


def likelihood(logs: np.ndarray, values: np.ndarray) -> float:
    """Negative Plackett-Luce log-likelihood, written as the product over places."""
    ordered = logs[np.argsort(values, 1)]
    behind = np.log(np.cumsum(np.exp(ordered[:, ::-1]), 1)[:, ::-1])
    return float((behind - ordered).sum())


def test_worths_maximize_the_likelihood() -> None:
    values = rankings(80, np.random.default_rng(5))
    found = optimize.minimize(likelihood, np.zeros(5), args=(values,), method="BFGS", options={"gtol": 1e-7})
    expected = np.exp(found.x) / np.exp(found.x).sum()
    assert plackett_luce(values, np.ones((1, 80)), prior=0)[0] == pytest.approx(expected, abs=1e-5)
    doubled = plackett_luce(values, np.array([np.ones(80), np.arange(80) < 40]), prior=0)
    assert doubled[0] == pytest.approx(expected, abs=1e-5)
    assert doubled[1] == pytest.approx(plackett_luce(values[:40], np.ones((1, 40)), prior=0)[0], abs=1e-6)


def test_two_methods_worths_are_their_shares_of_wins_and_an_unbeaten_one_stays_finite() -> None:
    values = np.array([[1.0, 2]] * 7 + [[2.0, 1]] * 3)
    assert plackett_luce(values, np.ones((1, 10)), prior=0)[0] == pytest.approx([0.7, 0.3])
    always = plackett_luce(np.tile([1.0, 2, 3], (20, 1)), np.ones((1, 20)))[0]
    assert always[0] > always[1] > always[2] > 0 and always.sum() == pytest.approx(1)


def test_resamples_draw_volunteers_and_prompts_and_never_nothing() -> None:
    volunteer, prompt = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0])
    weights = crossed_weights(volunteer, prompt, 4000, 0)
    assert (weights.sum(1) > 0).all() and (weights == np.round(weights)).all()
    assert (crossed_weights(volunteer, prompt, 4000, 0) == weights).all()
    grid = crossed_weights(np.repeat(np.arange(5), 6), np.tile(np.arange(6), 5), 20_000, 1)
    assert (grid.sum(1) == 30).all()  # of a full crossing every resample is as large
    assert grid.mean(0) == pytest.approx(np.ones(30), abs=0.06)
    assert grid.var(0) == pytest.approx((1 + 4 / 5) * (1 + 5 / 6) - 1, rel=0.12)


def crossed_study(rng: np.random.Generator, volunteers: int, prompts: int, groups: int) -> pd.DataFrame:
    """Two equal methods, but prompts (and, less, volunteers) lean to one of them."""
    key = assign(
        [f"p{i}" for i in range(prompts)], ["a", "b"], volunteers, groups, shuffle_seed=int(rng.integers(1e9))
    )
    first = key[key["method"] == "a"]
    lean = {p: x for p, x in zip(first["prompt"].unique(), rng.normal(0, 1, prompts), strict=False)}
    taste = {v: x for v, x in zip(first["volunteer"].unique(), rng.normal(0, 0.5, volunteers), strict=True)}
    logit = first["prompt"].map(lean) + first["volunteer"].map(taste)
    rank = 1 + (rng.random(len(first)) < 1 / (1 + np.exp(-logit))).astype(int)
    a = first.assign(rank=rank, question="q1")
    return pd.concat([a, a.assign(method="b", rank=3 - a["rank"])])


@pytest.mark.parametrize(("volunteers", "prompts", "groups"), [(40, 6, 6), (20, 20, 6), (6, 24, 8)])
def test_intervals_hold_the_true_mean_rank_though_prompts_and_volunteers_are_clustered(
    volunteers: int, prompts: int, groups: int
) -> None:
    """With few prompts, or few volunteers, too; of mean ranks and of their differences."""
    rng = np.random.default_rng(6)
    hits, naive, differ, runs = 0, 0, 0, 150
    for _ in range(runs):
        tables = analyze(crossed_study(rng, volunteers, prompts, groups), resamples=200)
        row, gap = tables[""].iloc[0], tables["differences"].iloc[0]
        hits += row["low"] <= 1.5 <= row["high"]
        differ += gap["low"] <= 0 <= gap["high"]
        naive += abs(row["mean"] - 1.5) < 1.96 * 0.5 / np.sqrt(volunteers * groups)
    assert hits == differ and hits / runs > 0.92  # Monte-Carlo standard error 0.018; wide rather than narrow
    assert naive / runs < 0.87


def test_p_and_interval_of_a_difference_agree_and_swap_with_its_methods() -> None:
    ranks = crossed_study(np.random.default_rng(9), 20, 12, 6)
    there, back = (analyze(ranks)["differences"].iloc[i] for i in (0, 1))
    assert (there["method"], there["against"]) == (back["against"], back["method"]) == ("a", "b")
    assert there[["difference", "low", "high"]].tolist() == pytest.approx(
        (-back[["difference", "high", "low"]]).tolist()
    )
    assert there["won"] + back["won"] == pytest.approx(1) and there["p"] == pytest.approx(back["p"])
    rows = pd.concat(
        [analyze(crossed_study(np.random.default_rng(s), 20, 12, 6))["differences"] for s in range(20)]
    )
    assert ((rows["p"] < 0.05) == ((rows["low"] > 0) | (rows["high"] < 0))).all()


def test_no_interval_rests_on_fewer_than_five_volunteers_or_prompts_or_on_no_spread() -> None:
    rng = np.random.default_rng(10)
    for volunteers, prompts in ((4, 20), (20, 4)):
        tables = analyze(crossed_study(rng, volunteers, prompts, 4), resamples=50)
        assert tables[""][["low", "high"]].isna().all(axis=None) and tables["differences"]["p"].isna().all()
    alike = Resamples(crossed_weights(np.arange(8), np.arange(8), 50, 0), 8)
    assert np.isnan(alike.reach(alike.means(np.full((8, 1), 2.0))))


def test_questions_with_unequal_numbers_of_rankings_are_refused() -> None:
    ranks = crossed_study(np.random.default_rng(11), 6, 6, 2)
    fewer = ranks[ranks["volunteer"] != "v01"].assign(question="q2")
    with pytest.raises(ValueError, match="differ in their number of rankings: q1 12, q2 10"):
        analyze(pd.concat([ranks, fewer]))


def test_per_prompt_ranks_are_means_over_volunteers() -> None:
    ranks = crossed_study(np.random.default_rng(7), 6, 3, 2)
    table = prompt_ranks(ranks).set_index(["method", "prompt"])["value"]
    mine = ranks[(ranks["method"] == "a") & (ranks["prompt"] == "p1")]["rank"]
    assert table["a", "p1"] == mine.mean() and table["b", "p1"] == 3 - mine.mean()


def test_a_ranking_with_a_tie_is_not_analyzed(tmp_path: Path) -> None:
    ranks = crossed_study(np.random.default_rng(8), 4, 2, 2).assign(seed=0)
    ranks["rank"] = 1
    path = tmp_path / "ranks.csv"
    ranks.to_csv(path, index=False)
    command = ["-m", "eval.study", "analyse", "--ranks", str(path), "--out", str(tmp_path / "study.csv")]
    ran = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 1 and ran.stderr == "error: a ranking does not give the ranks 1 to 2 once each\n"


@pytest.mark.skipif(shutil.which("node") is None, reason="no node to run the page's own function")
def test_what_a_page_saves_names_its_study_and_says_that_a_person_ranked(kit: Path, tmp_path: Path) -> None:
    text = (kit / "handout/v02.html").read_text()
    data = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1]
    function = re.search(r"^function csv\(\) \{.*?^\}", text, re.DOTALL | re.MULTILINE)[0]
    script = f"""const data = {data}, questions = Object.keys(data.questions);
        const state = {{answers: data.groups.map(() => ({{q1: [0, 1, 2, 3, 4], q2: [4, 3, 2, 1, 0],
        q3: [2, 0, 1, 4, 3]}})), watched: data.groups.map(() =>
        [true, true, false, true, true])}}; {function} process.stdout.write(csv());"""
    ran = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True)
    (tmp_path / "v02.csv").write_text(ran.stdout)
    ranks, key = collect(kit, [tmp_path / "v02.csv"]), pd.read_csv(kit / "key.csv")
    assert set(ranks["source"]) == {"human"} and set(ranks["study"]) == set(key["study"])
    assert len(ranks) == (4 + 2) * 5 * 3 and f"study {key['study'][0]}, v02" in text
    assert ranks["watched"].astype(int).mean() == 4 / 5


# --- in a browser ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def short_kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two volunteers, three groups and two checks; each video takes a third of a second."""
    root = tmp_path_factory.mktemp("short")
    frames = np.full((10, 32, 32, 4), 255, np.uint8)
    for method in METHODS[:3]:
        for prompt in [f"p{i:02d}" for i in range(1, 7)]:
            place = root / "views" / method / prompt / "0"
            place.mkdir(parents=True)
            write_turntable(frames, place / "turntable.mp4")
    study.main([
        "assign", "--results", str(root), "--prompts", TOYBOX, "--methods", *METHODS[:3],
        "--volunteers", "2", "--groups", "3", "--out", str(root / "study"),
    ])  # fmt: skip
    return root / "study"


def count_watched(page: Any) -> int:
    return page.evaluate("state.watched[state.at].filter(Boolean).length")


def test_in_a_browser_a_volunteer_ranks_by_touch_and_keys_reloads_saves_and_is_collected(
    chromium: Any, short_kit: Path, tmp_path: Path
) -> None:
    """The order that is asked for in the check; else A, C, B; the group that comes again is ranked alike."""
    key = pd.read_csv(short_kit / "key.csv").query("volunteer == 'v01'")
    repeated = key[key["kind"] == "repeat"].set_index("method")["position"]
    first = key[(key["kind"] == "rank") & (key["prompt"] == key[key["kind"] == "repeat"]["prompt"].iloc[0])]
    turned = {first.set_index("method")["position"][m]: repeated[m] for m in repeated.index}
    context = chromium.new_context(
        viewport={"width": 375, "height": 740}, has_touch=True, accept_downloads=True
    )
    page = context.new_page()
    page.goto((short_kit / "handout/v01.html").as_uri())
    for group in range(1, 6):
        kind = key[key["group"] == group]["kind"].iloc[0]
        assert page.inner_text("#count").startswith(f"Group {group} of 5")
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        page.wait_for_function("state.watched[state.at].every(Boolean)")
        order = "CB" if kind == "check" else "AC"
        if kind == "repeat":
            order = "".join("ABC"[turned[place] - 1] for place in (1, 3))
        for letter in order:  # by touch, by the letter's own key, and by Tab and Space
            page.tap(f"#q1 button:nth-child({ord(letter) - 64})")
        page.evaluate("document.activeElement.blur()")
        for letter in order:
            page.keyboard.press(letter.lower())
        for letter in order:
            page.focus(f"#q3 button:nth-child({ord(letter) - 64})")
            page.keyboard.press("Space")
        assert page.is_enabled("#next")
        if group == 2:
            page.reload()
            assert (
                page.inner_text("#count").startswith("Group 2 of 5, 2 finished") and count_watched(page) == 3
            )
        page.click("#next")
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as(tmp_path / "v01.csv")
    context.close()
    ranks = collect(short_kit, [tmp_path / "v01.csv"])
    assert len(ranks) == 5 * 3 * 3 and set(ranks["watched"]) == {"1"} and set(ranks["source"]) == {"human"}
    checked = check_volunteers(ranks)
    assert checked.loc[0, ["agreement", "attention", "watched", "failed"]].tolist() == [1, 1, 1, 0]


# --- checks ------------------------------------------------------------------------------------------------


def test_checks_add_two_groups_that_no_mean_counts() -> None:
    plain = assign(PROMPTS, METHODS, 12, 6)
    key = add_checks(plain)
    pd.testing.assert_frame_equal(key, add_checks(plain))
    counted = key[key["kind"] == "rank"].drop(columns="group").reset_index(drop=True)
    pd.testing.assert_frame_equal(counted, plain.drop(columns="group"))
    for _, mine in key.groupby("volunteer"):
        kinds = mine.drop_duplicates("group")["kind"].tolist()
        assert kinds == ["rank"] * 3 + ["check"] + ["rank"] * 3 + ["repeat"]
        again = mine[mine["kind"] == "repeat"]
        before = mine[(mine["group"] <= 3) & (mine["prompt"] == again["prompt"].iloc[0])]
        assert set(again["video"]) == set(before["video"])
        assert again["video"].tolist() != before["video"].tolist()


def with_checks(key: pd.DataFrame, careless: str = "") -> pd.DataFrame:
    """Ranks of volunteers who like the first method best and do as told, and of a careless one."""
    parts = []
    for question in ("q1", "q2", "q3"):
        rank = key["method"].map({method: place for place, method in enumerate(METHODS, 1)})
        told = len(METHODS) + 1 - key["position"]
        rank = rank.where(key["kind"] != "check", told)
        rank = rank.where(key["volunteer"] != careless, key["position"])
        parts.append(key.assign(question=question, rank=rank, watched="1"))
    return pd.concat(parts)


def test_analysis_reports_the_checks_and_what_leaving_out_who_failed_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ranks = with_checks(add_checks(assign(PROMPTS, METHODS, 6, 6)), careless="v02")
    ranks.to_csv(tmp_path / "ranks.csv", index=False)
    study.main(["analyse", "--ranks", str(tmp_path / "ranks.csv"), "--out", str(tmp_path / "study.csv"),
                "--resamples", "20"])  # fmt: skip
    told = capsys.readouterr().out
    assert "36 rankings a question" in told and "5 of 6 volunteers passed that of attention" in told
    checks = pd.read_csv(tmp_path / "study_checks.csv").set_index("volunteer")
    assert checks["failed"].to_dict() == {f"v0{n}": int(n == 2) for n in range(1, 7)}
    assert checks.loc["v01", "agreement"] == 1 and checks.loc["v02", "agreement"] < 1
    change = pd.read_csv(tmp_path / "study_excluding.csv").set_index(["question", "method"])
    assert change.loc[("q1", "sds"), "mean_kept"] == 1 and change.loc[("q1", "sds"), "change"] < 0
    largest = change["change"].abs().max()
    assert f"without those who failed mean ranks change by up to {largest:.2f}" in told


def test_a_study_without_checks_is_analyzed_as_before(rehearsal: Path, tmp_path: Path) -> None:
    key = pd.read_csv(rehearsal / "key.csv").drop(columns="kind")
    shutil.copytree(rehearsal / "answers", tmp_path / "answers")
    key.to_csv(tmp_path / "key.csv", index=False)
    files = sorted((tmp_path / "answers").iterdir())
    for path in files:
        pd.read_csv(path).drop(columns="watched").to_csv(path, index=False)
    ranks = collect(tmp_path, files)
    assert set(ranks["kind"]) == {"rank"}
    checked = check_volunteers(ranks)
    assert (
        checked[["agreement", "attention", "watched"]].isna().all(axis=None) and not checked["failed"].any()
    )
