"""What the analysis recovers of preferences, how sure it is, and what its checks change."""

from __future__ import annotations

import shutil
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats
from simulated_study import METHODS, PROMPTS, WORTHS, simulation

from eval.study import commands as study
from eval.study.analysis import Resamples, analyze, crossed_weights, kendall_w, plackett_luce, prompt_ranks
from eval.study.answers import collect
from eval.study.assignment import add_checks, assign
from eval.study.checks import check_volunteers

ROOT = Path(__file__).parents[3]


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
