"""The ledger of claims: planted truths of every verdict, what each is read from, and the paper's own list."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import simulated_run as simulated
import yaml

from eval import ablation
from eval.claims import decision as claims
from eval.claims.evidence import Tables
from eval.claims.ledger import read_ledger
from eval.claims.page import in_words
from eval.claims.verdicts import (
    ABSOLUTE,
    CONTRADICTED,
    SUPPORTED,
    UNDECIDABLE,
    UNMEASURED,
    UNRESOLVED,
    Question,
)
from eval.metrics import columns
from eval.run import read_cost, read_run
from eval.scores.consistency import GATE
from eval.statistics.comparison import sign_flip_p
from eval.statistics.mean_test import Mean
from eval.statistics.power import LEDGER as LEDGER_TEST
from eval.statistics.power import smallest_effect
from eval.tables import table1 as table
from eval.variants import read_ablation, variants

LEDGER = Path("workflow/config/claims.yaml")
SPACES = Path("workflow/config/ablations.yaml")
NAN = float("nan")


# Planted truths -------------------------------------------------------------------------------------------


def mini(value: float) -> dict[str, dict[str, Any]]:
    return {"mini": {"value": value, "why": "planted"}}


CONTENT = {
    "readings": {
        "reward": ["image_reward", "toy_reward"],
        "sharpness": [
            {"metrics": ["detail_error"], "turned": True},
            {"metrics": ["detail"], "needs": "consistency"},
        ],
        "alignment": [{"metrics": ["clip_r_hard"], "needs": "truth"}, "clip"],
        "time": [{"metrics": ["seconds"], "needs": "alone"}, {"metrics": ["tflop", "nfe"]}],
    },
    "margins": {
        "narrow": {"mini": {"share": 0.01, "of": [30, 80], "why": "planted"}},
        "wide": mini(6.0),
        "elsewhere": {"paper": {"value": 1.0, "why": "planted"}},
    },
    "thresholds": {
        "tenth": {"over_exposure": {"value": 0.1, "why": "planted"}},
        "fifth": {"over_exposure": {"value": 0.2, "why": "planted"}},
    },
}
PAIR = {"of": "m/N~1", "is": "lower", "than": "m/N~5"}
CLIP = {"metric": "clip", "of": "sctd", "is": "higher"}
SAME = {"metric": "clip", "of": "sctd", "is": "same"}
WORSE = {"metric": "clip", "of": "sds", "is": "not lower", "than": "sctd"}
FID = {"metric": "fid_clip", "is": "lower"}
BLOWN = {"metric": "over_exposure", "is": "above"}
PLANTED: dict[str, tuple[str, dict[str, Any], str]] = {
    "true": ("table1", CLIP | {"than": ["sds", "cds"]}, SUPPORTED),
    "false": ("table1", CLIP | {"metric": "reward", "than": "sds"}, CONTRADICTED),
    "open": ("table1", CLIP | {"than": "ism"}, UNRESOLVED),
    "same": ("table1", SAME | {"than": "ism", "margin": "narrow"}, SUPPORTED),
    "different": ("table1", SAME | {"than": "sds", "margin": "narrow"}, CONTRADICTED),
    "tolerated": ("table1", WORSE | {"margin": "wide"}, SUPPORTED),
    "intolerable": ("table1", WORSE | {"margin": "narrow"}, CONTRADICTED),
    "blown": ("table1", BLOWN | {"of": "gcs", "threshold": "tenth"}, SUPPORTED),
    "not_blown": ("table1", BLOWN | {"of": ["gcs", "sctd"], "threshold": "fifth"}, CONTRADICTED),
    "pooled": ("table1", FID | {"of": "sctd", "than": ["sds", "cds"]}, SUPPORTED),
    "pooled_turned": ("table1", FID | {"of": "sds", "than": "sctd"}, CONTRADICTED),
    "unseen_method": ("table1", CLIP | {"of": "csd", "than": "sds"}, UNMEASURED),
    "unseen_metric": ("table1", CLIP | {"metric": "image_reward", "than": "sds"}, UNMEASURED),
    "unseen_margin": ("table1", SAME | {"than": "ism", "margin": "elsewhere"}, UNMEASURED),
    "seen_ablation": ("known_scene", {"metric": "detail", **PAIR}, CONTRADICTED),
    "few_prompts": ("few", {"metric": "detail", **PAIR}, UNDECIDABLE),
    "unseen_ablation": ("cfg", {"metric": "clip", **PAIR}, UNMEASURED),
    "smooth": ("known_scene", {"metric": "sharpness", **PAIR}, SUPPORTED),
    "smooth_unknown": ("unknown_scene", {"metric": "sharpness", **PAIR}, CONTRADICTED),
    "smooth_flickering": ("flicker", {"metric": "sharpness", **PAIR}, UNMEASURED),
    "fast_alone": ("alone", {"metric": "time", **PAIR}, SUPPORTED),
    "unseen_study": ("table1", CLIP | {"metric": "q1", "than": "sds"}, UNMEASURED),
    "harder": ("hard", {"metric": "alignment", **PAIR}, SUPPORTED),
    "harder_unknown": ("hard_unknown", {"metric": "alignment", **PAIR}, CONTRADICTED),
    "fast_beside_others": ("beside", {"metric": "time", **PAIR}, CONTRADICTED),
}
Values = dict[str, tuple[Callable[[int], float], Callable[[int], float]]]


def around(level: float) -> Callable[[int], float]:
    return lambda p: level + 0.01 * (p % 3)


def always(level: float) -> Callable[[int], float]:
    return lambda p: level


# metric -> its values per prompt of the variants m/N~1 and m/N~5
SPECKLED: Values = {"detail": (around(12.0), around(9.0))}
CONSISTENT: Values = {"consistency": (always(GATE), lambda p: GATE if p < 7 else GATE - 0.001)}
FLICKERING: Values = {"consistency": (always(0.5), always(GATE))}
HARD: Values = {"clip_r_hard": (around(0.3), around(0.6)), "clip": (around(88.0), around(87.0))}
COSTS: Values = {"seconds": (around(5.0), around(9.0)), "tflop": (around(3.0), around(2.0)),
                 "nfe": (always(300), always(200))}  # fmt: skip
RUNS: dict[str, tuple[int, Values]] = {
    "known_scene": (8, SPECKLED | {"detail_error": (around(0.5), around(0.3))}),
    "few": (3, SPECKLED),
    "unknown_scene": (8, SPECKLED | CONSISTENT),
    "flicker": (8, SPECKLED | FLICKERING),
    "hard": (8, HARD | {"iou": (always(0.5), always(0.5))}),
    "hard_unknown": (8, HARD | {"iou": (always(0.5), lambda _: NAN)}),
    "alone": (8, COSTS | {"alone": (always(1), always(1))}),
    "beside": (8, COSTS | {"alone": (always(1), lambda p: 0.5 if p == 3 else 1)}),
}


def write_ledger(path: Path, planted: dict[str, tuple[str, dict[str, Any]]], **content: Any) -> Path:
    entries = [
        {"id": name, "text": f"claim {name}", "where": "Table 1", "source": source, "contrasts": [contrast]}
        for name, (source, contrast, *_) in planted.items()
    ]
    path.write_text(yaml.safe_dump(CONTENT | content | {"claims": entries}, sort_keys=False))
    return path


def write_values(path: Path, prompts: int, values: Values) -> None:
    rows = [
        (f"m/N~{n}", f"p{p:02d}", metric, of_prompt[n == 5](p))
        for n in (1, 5)
        for p in range(prompts)
        for metric, of_prompt in values.items()
    ]
    pd.DataFrame(rows, columns=["variant", "prompt", "metric", "value"]).dropna().to_csv(path, index=False)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = simulated.write_run(tmp_path_factory.mktemp("run"))
    table.main(simulated.arguments(root))
    for name, (prompts, values) in RUNS.items():
        write_values(root / f"tables/ablation_{name}_per_prompt.csv", prompts, values)
    write_ledger(root / "claims.yaml", PLANTED)
    claims.main(["--results", str(root), "--claims", str(root / "claims.yaml")])
    return root


@pytest.fixture(scope="module")
def rows(results: Path) -> pd.DataFrame:
    return pd.read_csv(results / "tables/claims.csv").set_index("claim")


@pytest.fixture(scope="module")
def verdicts(results: Path) -> dict[str, dict[str, Any]]:
    return {c["claim"]: c for c in json.loads((results / "tables/claims.json").read_text())["claims"]}


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


# The file of claims ---------------------------------------------------------------------------------------


def test_the_ledger_needs_a_table(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: .*table1\.json"):
        claims.main(["--results", str(tmp_path)])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"is": "better"}, "claim x: 'better' is none of higher, lower, same, not lower"),
        ({"is": "same"}, "claim x: `same` needs a margin"),
        ({"is": "same", "margin": "nope"}, "claim x: no margin 'nope'"),
        ({"is": "not lower"}, "claim x: `not lower` needs a margin"),
        ({"margin": "wide"}, "claim x: `higher` takes no margin"),
        ({"is": "above", "threshold": "tenth"}, "claim x: `above` takes no `than`"),
        ({"than": ""}, "claim x: `higher` needs a `than`"),
        ({"is": "above", "than": ""}, "claim x: `above` needs a threshold"),
        ({"is": "above", "than": "", "threshold": "nope"}, "claim x: no threshold 'nope'"),
        ({"is": "above", "than": "", "threshold": "tenth"}, "claim x: .*'tenth' has no value for clip"),
        ({"is": ""}, "claim x: a contrast is missing is"),
        ({"source": ""}, "claim x: missing source"),
    ],
)
def test_a_wrong_claim_is_refused_in_one_line(tmp_path: Path, change: dict, words: str) -> None:
    contrast = {"metric": "clip", "of": "a", "is": "higher", "than": "b"} | change
    source = contrast.pop("source", "table1")
    path = write_ledger(tmp_path / "claims.yaml", {"x": (source, contrast)})
    with pytest.raises(ValueError, match=words) as caught:
        read_ledger(path)
    assert "\n" not in str(caught.value) and "claims.yaml" in str(caught.value)


def test_a_bound_without_a_reason_is_refused(tmp_path: Path) -> None:
    contrast = {"metric": "clip", "of": "a", "is": "higher", "than": "b"}
    margins = {"m": {"mini": {"value": 1}}}
    path = write_ledger(tmp_path / "c.yaml", {"x": ("table1", contrast)}, margins=margins)
    with pytest.raises(ValueError, match="m of mini: missing why"):
        read_ledger(path)


def test_a_claim_stands_once(tmp_path: Path) -> None:
    path = write_ledger(tmp_path / "claims.yaml", {"x": ("table1", PLANTED["open"][1])})
    content = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(content | {"claims": content["claims"] * 2}))
    with pytest.raises(ValueError, match="claim x stands twice"):
        read_ledger(path)


# The ablations' values ------------------------------------------------------------------------------------


def test_an_ablation_leaves_its_values_for_the_ledger(tmp_path: Path) -> None:
    space = {"n": {"title": "N", "official": [{"N": 5}], "x": "N", "panels": ["clip"],
                   "space": [{"method": ["sctd"], "N": [1, 5]}]}}  # fmt: skip
    (tmp_path / "spaces.yaml").write_text(yaml.safe_dump(space))
    for n in (1, 5):
        for number, prompt in enumerate(simulated.PROMPTS):
            folder = tmp_path / f"scores/sctd/N~{n}/{prompt}/0"
            folder.mkdir(parents=True)
            rows = [(view, "detail", 10 + number + n * (1 + 0.1 * number) + view) for view in (0, 1)]
            pd.DataFrame(rows, columns=["view", "metric", "value"]).to_csv(folder / "scores.csv", index=False)
    ablation.main(["--results", str(tmp_path), "--name", "n", "--spaces", str(tmp_path / "spaces.yaml"),
                   "--prompts", *simulated.PROMPTS])  # fmt: skip
    contrast = {"metric": "detail", "of": "sctd/N~1", "is": "lower", "than": "sctd/N~5"}
    path = write_ledger(tmp_path / "c.yaml", {"x": ("n", contrast)})
    tables = Tables(tmp_path / "tables", tmp_path / "tables")
    verdicts, contrasts = claims.evaluate(read_ledger(path), tables, "mini")
    assert verdicts["verdict"].item() == SUPPORTED
    assert contrasts["estimate"].item() == pytest.approx(-4 * (1 + 0.1 * 3.5))


def test_an_ablation_refuses_two_protocols(tmp_path: Path) -> None:
    for prompt, digest in (("p01", "aa"), ("p02", "bb")):
        folder = tmp_path / f"scores/sctd/{prompt}/0"
        folder.mkdir(parents=True)
        (folder / "scores.csv").write_text("view,metric,value\n0,clip,1\n")
        (folder / "protocol.json").write_text(json.dumps({"protocol_id": digest}))
    with pytest.raises(ValueError, match="two protocols in one table: .*p01.* has aa, .*p02.* has bb"):
        read_run(tmp_path, ["sctd"], [], ["p01", "p02"], 1)


# The paper's list -----------------------------------------------------------------------------------------


def test_every_claim_names_metrics_and_variants_that_exist() -> None:
    ledger = read_ledger(LEDGER)
    known = set(columns()) | set(ablation.ablation_columns())
    methods = set(yaml.safe_load(Path("baselines/methods.yaml").read_text()))
    for claim in ledger.claims:
        names = methods
        if claim.source != "table1":
            names = {variant.name for variant in variants(read_ablation(SPACES, claim.source))}
        for contrast in claim.contrasts:
            metrics = {metric for reading in ledger.read_as(contrast.metric) for metric in reading.metrics}
            assert metrics <= known, claim.id
            assert {contrast.of, contrast.than} - {""} <= names, claim.id
    assert all({"mini", "paper"} <= set(margin) for margin in ledger.margins.values())


def test_margins_are_smaller_than_the_differences_that_the_paper_counts() -> None:
    """A margin wider than a table's whole spread would call everything the same."""
    margins = read_ledger(LEDGER).margins["clip"]
    assert margins["paper"].value == pytest.approx(30.88 - 30.73) and margins["mini"].value < 1


def test_what_the_paper_says_of_one_method_is_put_to_a_threshold() -> None:
    """Severe Janus artifacts, over-exposure, weak conditioning: no comparison can show or refute these."""
    absolute = {claim.id for claim in read_ledger(LEDGER).claims
                if all(contrast.direction in ABSOLUTE for contrast in claim.contrasts)}  # fmt: skip
    assert {"janus_severe", "ism_over_exposed", "gcs_over_exposed", "cds_condition"} <= absolute


def test_the_papers_own_table_supports_what_it_claims_of_it() -> None:
    """The contrasts of Table 1, put to the paper's own figures: a claim that its table denies was misread."""
    from eval.tables.paper import read_paper

    paper = read_paper(Path("baselines/paper.yaml"))
    keys = {"alignment": "clip", "reward": "image_reward", "fid": "fid", "time": "seconds",
            "q1": "q1", "q2": "q2", "q3": "q3"}  # fmt: skip
    checked = 0
    for claim in read_ledger(LEDGER).claims:
        for contrast in claim.contrasts if claim.source == "table1" else ():
            if contrast.metric in keys:
                key = keys[contrast.metric]
                gap = paper[contrast.of][key] - paper[contrast.than][key]
                assert np.sign(gap) == {"higher": 1, "lower": -1}[contrast.direction], claim.id
                checked += 1
    assert checked == 4 * 4 + 3 * 4 + 12
