"""What the ledger of claims says of planted truths of every verdict, and what each is read from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import simulated_run as simulated
from planted_claims import PLANTED

from eval.claims import decision as claims
from eval.claims.page import in_words
from eval.claims.verdicts import CONTRADICTED, UNRESOLVED, Question
from eval.run import read_cost
from eval.scores.pathologies.consistency import GATE
from eval.statistics.comparison import sign_flip_p
from eval.statistics.mean_test import Mean
from eval.statistics.power import LEDGER as LEDGER_TEST
from eval.statistics.power import smallest_effect

NAN = float("nan")


@pytest.mark.parametrize("name", PLANTED)
def test_planted_truths_get_their_verdict(verdicts: dict[str, dict[str, Any]], name: str) -> None:
    assert verdicts[name]["verdict"] == PLANTED[name][2]


def test_a_contrast_carries_the_mean_that_p_tests(results: Path, rows: pd.DataFrame) -> None:
    row = rows.loc["true"].set_index("than").loc["sds"]
    values = pd.read_csv(results / "tables/per_prompt.csv")
    clip = values[values["metric"] == "clip"].pivot(index="prompt", columns="method", values="value")
    differences = (clip["sctd"] - clip["sds"]).to_numpy()
    assert row["estimate"] == pytest.approx(differences.mean()) and row["n"] == 8
    assert row["p"] == pytest.approx(sign_flip_p(differences)) == row["corrected"]
    assert 0 < row["low"] < row["estimate"] < row["high"] and row["level"] == 0.95
    assert row["rule"] == "two-sided" and row["direction"] == "higher"


def test_where_any_contrast_can_fail_a_claim_p_and_interval_are_holms(rows: pd.DataFrame) -> None:
    both = rows.loc["not_blown"].sort_values("level")
    assert list(both["level"]) == [0.95, 0.975] and list(both["rule"]) == ["Holm over 2"] * 2
    assert list(both["corrected"]) == pytest.approx(list(2 * both["p"])) and (both["high"] < 0.2).all()
    assert "holm" not in rows.columns  # no p is adjusted over the whole ledger


def test_an_absolute_claim_looks_at_no_other_method(rows: pd.DataFrame) -> None:
    row = rows.loc["blown"]
    assert pd.isna(row["than"]) and row["bound"] == 0.1
    assert row["estimate"] == pytest.approx(0.15, abs=0.002) and row["low"] > 0.1


def test_a_margin_is_a_share_of_a_fixed_scale(rows: pd.DataFrame) -> None:
    assert rows.loc["same", "bound"] == 0.5 == rows.loc["intolerable", "bound"]


def test_a_failed_asset_is_left_out_of_its_pairs_alone(rows: pd.DataFrame) -> None:
    assert rows.loc["open", "n"] == 7 and rows.loc["tolerated", "n"] == 8


def test_a_stand_in_is_named_in_the_ledger(results: Path, rows: pd.DataFrame) -> None:
    title = json.loads((results / "tables/table1.json").read_text())["methods"]["sctd"]
    assert rows.loc["false", "metric"] == "toy_reward"
    assert f"ToyReward: {title} higher than SDS" in (results / "tables/claims.md").read_text()


def test_what_was_not_measured_says_how_to_measure_it(rows: pd.DataFrame) -> None:
    reach = f"7 prompts would find a difference of {smallest_effect(7, 0.025, LEDGER_TEST):.2g} standard "
    reach += "deviations between prompts"
    assert rows.loc["unseen_ablation", "note"] == f"run `snakemake --cores all ablation_cfg`; {reach}"
    assert rows.loc["unseen_margin", "note"] == f"no margin for scale mini; {reach}"
    assert rows.loc["unseen_study", "note"].startswith(
        "no ranking study of this run (`segmentdreamer study`)"
    )


def test_an_open_contrast_says_which_difference_so_many_prompts_would_have_decided(
    results: Path, rows: pd.DataFrame
) -> None:
    values = pd.read_csv(results / "tables/per_prompt.csv")
    clip = values[values["metric"] == "clip"].pivot(index="prompt", columns="method", values="value")
    pairs = (clip["sctd"] - clip["ism"]).dropna()
    sizes = [pairs.std() * smallest_effect(7, 0.025 / family, LEDGER_TEST) for family in (1, 1)]
    expected = f"found with probability 0.8: {sizes[0]:.3f} for it, {sizes[1]:.3f} against it"
    assert rows.loc["open", "note"] == f"true differences {expected}"
    assert not rows.loc[rows["verdict"] == UNRESOLVED, "note"].isna().any()
    assert "probability 0.8" in (results / "tables/claims.md").read_text()


def test_what_no_difference_could_decide_is_said_to_be_so() -> None:
    row = {"metric": "clip"}
    few = Mean(np.array([0.1, -0.2, 0.3, 0.0, -0.1, 0.2]))
    said = claims.tell_reach(row, Question("higher"), few, 4)
    assert said.endswith(" for it, none, however large against it") and "true differences" in said
    assert "distances from the bound" in claims.tell_reach(row, Question("above", 0.1), few, 4)


def test_a_saturated_metric_is_named_where_it_leaves_a_contrast_open() -> None:
    contrasts = pd.DataFrame({"claim": ["a", "b"], "verdict": UNRESOLVED, "metric": "clip", "note": ""})
    of = pd.DataFrame({"claim": ["a", "b"], "source": ["table1", "n"]})
    told = claims.tell_why(contrasts, of, {"complete": ["p01"] * 8, "saturated": {"clip": "all near"}})
    assert told["note"].tolist() == ["saturated: all near", ""]


def test_a_claim_that_so_few_prompts_cannot_decide_says_how_many_can(verdicts: dict[str, Any]) -> None:
    assert verdicts["few_prompts"]["note"] == "3 prompts decide nothing: 6 can support it, 6 contradict it"
    assert verdicts["open"]["note"] == ""


def test_the_ledger_is_printed_with_its_counts(results: Path, capsys: pytest.CaptureFixture) -> None:
    claims.main(["--results", str(results), "--claims", str(results / "claims.yaml")])
    printed = capsys.readouterr().out
    counts = pd.Series([verdict for *_, verdict in PLANTED.values()]).value_counts()
    assert printed.startswith(f"Scale mini, {len(PLANTED)} claims: {counts.iloc[0]} ")
    assert "not of the paper's" in printed and "n = 8" in printed
    for verdict, count in counts.items():
        assert printed.count(f"\n{str(verdict).upper():13} claim") == count


def test_printed_figures_have_minus_signs_and_margins_their_reasons(results: Path) -> None:
    page = (results / "tables/claims.md").read_text()
    assert "FID (CLIP): " in page and "−" in page and not any(f" -{digit}" in page for digit in range(10))
    assert "- margin narrow: 0.5 (1 % of 30 to 80: planted)" in page
    assert "- threshold tenth, Over-exposure: 0.1 (planted)" in page


def test_a_corrected_p_stands_beside_the_interval_of_its_level() -> None:
    row = {"metric": "clip", "of": "sctd", "than": "sds", "direction": "higher", "bound": 0.0, "n": 8,
           "level": 0.9875, "estimate": -1.234, "low": -2.0, "high": -0.5, "p": 0.0078, "corrected": 0.031,
           "rule": "Holm over 4", "verdict": CONTRADICTED, "note": ""}  # fmt: skip
    few = row | {"low": NAN, "high": NAN, "verdict": UNRESOLVED, "n": 6, "p": 0.031, "corrected": 0.12}
    texts = [
        "−1.23 [−2.00, −0.50] (98.75 %), p 0.0078 (Holm over 4: 0.031), n = 8, contradicted",
        "−1.23 (no 98.75 % interval), p 0.031 (Holm over 4: 0.12), n = 6, unresolved",
    ]
    for known, text in zip((row, few), texts, strict=True):
        assert in_words(known, {"sctd": "SCTD", "sds": "SDS"}) == f"CLIP: SCTD higher than SDS: {text}"


# What a contrast is read from -----------------------------------------------------------------------------


def test_over_smoothing_is_an_error_against_the_true_scene_where_there_is_one(rows: pd.DataFrame) -> None:
    """N = 1 has more detail, all of it speckle: detail alone would call N = 5 the smooth one."""
    row = rows.loc["smooth"]
    assert row["metric"] == "detail_error" and row["direction"] == "higher" and row["estimate"] > 0


def test_alignment_is_read_from_the_harder_captions_where_the_true_scene_is_known(rows: pd.DataFrame) -> None:
    assert rows.loc["harder", "metric"] == "clip_r_hard" and rows.loc["harder_unknown", "metric"] == "clip"


def test_without_a_true_scene_detail_counts_where_both_sides_are_consistent(rows: pd.DataFrame) -> None:
    row = rows.loc["smooth_unknown"]
    assert row["metric"] == "detail" and row["direction"] == "lower" and row["n"] == 7
    assert row["note"] == f"7 of 8 prompts, those with a consistency of {GATE} or more"
    assert rows.loc["smooth_flickering", "note"].startswith("0 of 8 prompts")


def test_seconds_count_only_of_jobs_that_ran_alone(rows: pd.DataFrame) -> None:
    assert rows.loc["fast_alone", "metric"] == "seconds"
    shared = rows.loc["fast_beside_others"]
    assert list(shared["metric"]) == ["tflop", "nfe"] and (shared["verdict"] == CONTRADICTED).all()
    assert set(shared["note"]) == {"counted work: not every job ran alone"}


@pytest.mark.parametrize(("known", "alone"), [({"alone": True}, 1.0), ({"alone": False}, 0.0), ({}, 0.0)])
def test_a_job_ran_alone_only_if_its_cost_says_so(tmp_path: Path, known: dict, alone: float) -> None:
    (tmp_path / "cost.json").write_text(json.dumps({"seconds": 3.0} | known))
    assert read_cost(tmp_path) == {"seconds": 3.0, "alone": alone}


def test_the_table_hands_on_whether_jobs_ran_alone(results: Path) -> None:
    values = pd.read_csv(results / "tables/per_prompt.csv")
    assert set(values.loc[values["metric"] == "alone", "method"]) == set(simulated.METHODS)
