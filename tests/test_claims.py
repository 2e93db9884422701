"""The ledger of claims: its rule, planted truths of every verdict, and the paper's own list."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import simulated_run as simulated
import yaml
from hypothesis import given
from hypothesis import strategies as st

from eval import ablation, claims, table
from eval.columns import columns
from eval.comparison import holm
from eval.ledger import CONTRADICTED, SUPPORTED, UNMEASURED, UNRESOLVED, combine, judge, read_ledger
from eval.variants import read_ablation, variants

LEDGER = Path("workflow/config/claims.yaml")
SPACES = Path("workflow/config/ablations.yaml")
NAN = float("nan")


# The rule -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "direction", "margin", "verdict"),
    [
        (0.1, 0.5, "higher", 0, SUPPORTED),
        (-0.5, -0.1, "higher", 0, CONTRADICTED),
        (-0.1, 0.5, "higher", 0, UNRESOLVED),
        (-0.5, -0.1, "lower", 0, SUPPORTED),
        (0.1, 0.5, "lower", 0, CONTRADICTED),
        (-0.1, 0.2, "same", 0.3, SUPPORTED),
        (0.1, 0.2, "same", 0.3, SUPPORTED),  # a difference too small to matter is still the same
        (0.4, 0.9, "same", 0.3, CONTRADICTED),
        (-0.9, -0.4, "same", 0.3, CONTRADICTED),
        (-0.4, 0.1, "same", 0.3, UNRESOLVED),
        (-0.2, 0.1, "higher", 0.3, SUPPORTED),  # no worse by more than the margin
        (-0.9, -0.4, "higher", 0.3, CONTRADICTED),
        (-0.4, 0.1, "higher", 0.3, UNRESOLVED),
        (NAN, NAN, "higher", 0, UNRESOLVED),
        (NAN, NAN, "same", 1, UNRESOLVED),
    ],
)
def test_an_interval_decides(low: float, high: float, direction: str, margin: float, verdict: str) -> None:
    assert judge(low, high, direction, margin) == verdict


@given(
    ends=st.tuples(st.floats(-5, 5), st.floats(-5, 5)).map(sorted),
    margin=st.floats(0, 2),
)
def test_lower_is_higher_mirrored_and_same_does_not_care_which_way(ends: list[float], margin: float) -> None:
    low, high = ends
    assert judge(low, high, "lower", margin) == judge(-high, -low, "higher", margin)
    assert judge(low, high, "same", margin) == judge(-high, -low, "same", margin)


def test_a_claim_needs_all_of_its_contrasts_and_falls_with_any() -> None:
    assert combine([SUPPORTED, SUPPORTED]) == SUPPORTED
    assert combine([SUPPORTED, UNRESOLVED]) == combine([SUPPORTED, UNMEASURED]) == UNRESOLVED
    assert combine([SUPPORTED, UNMEASURED, CONTRADICTED]) == CONTRADICTED
    assert combine([UNMEASURED, UNMEASURED]) == UNMEASURED


# Planted truths -------------------------------------------------------------------------------------------

PLANTED = {
    "metrics": {"reward": ["image_reward", "toy_reward"]},
    "margins": {"clip": {"mini": 0.5}, "wide": {"mini": 6.0}, "elsewhere": {"paper": 1.0}},
    "claims": [
        ("true", "table1", "clip", "sctd", "higher", ["sds", "cds"], ""),
        ("false", "table1", "reward", "sctd", "higher", ["sds"], ""),
        ("open", "table1", "clip", "sctd", "higher", ["ism"], ""),
        ("same", "table1", "clip", "sctd", "same", ["ism"], "clip"),
        ("different", "table1", "clip", "sctd", "same", ["sds"], "clip"),
        ("tolerated", "table1", "clip", "sds", "higher", ["sctd"], "wide"),
        ("pooled", "table1", "fid_clip", "sctd", "lower", ["sds", "cds"], ""),
        ("pooled_turned", "table1", "fid_clip", "sds", "lower", ["sctd"], ""),
        ("unseen_method", "table1", "clip", "csd", "higher", ["sds"], ""),
        ("unseen_metric", "table1", "image_reward", "sctd", "higher", ["sds"], ""),
        ("unseen_margin", "table1", "clip", "sctd", "same", ["ism"], "elsewhere"),
        ("seen_ablation", "n", "detail", "sctd/N~1", "lower", ["sctd/N~5"], ""),
        ("few_prompts", "few", "detail", "sctd/N~1", "lower", ["sctd/N~5"], ""),
        ("unseen_ablation", "cfg", "clip", "sctd/N~1", "lower", ["sctd/N~5"], ""),
    ],
}
EXPECTED = {
    "true": SUPPORTED, "false": CONTRADICTED, "open": UNRESOLVED, "same": SUPPORTED,
    "different": CONTRADICTED, "tolerated": SUPPORTED, "pooled": SUPPORTED, "pooled_turned": CONTRADICTED,
    "unseen_method": UNMEASURED,
    "unseen_metric": UNMEASURED, "unseen_margin": UNMEASURED, "seen_ablation": SUPPORTED,
    "few_prompts": UNRESOLVED, "unseen_ablation": UNMEASURED,
}  # fmt: skip


def write_ledger(path: Path, rows: list[tuple]) -> Path:
    entries = [
        {"id": name, "text": f"claim {name}", "where": "Table 1", "source": source,
         "contrasts": [{"metric": metric, "of": of, "is": direction, "than": than}
                       | ({"margin": margin} if margin else {})]}
        for name, source, metric, of, direction, than, margin in rows
    ]  # fmt: skip
    content = {"metrics": PLANTED["metrics"], "margins": PLANTED["margins"], "claims": entries}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def write_ablation(path: Path, prompts: int) -> None:
    """Detail of N = 5 is 2 above that of N = 1, more or less, on every prompt."""
    rows = [
        (f"sctd/N~{n}", f"p{p:02d}", "detail", 10 + p + 2 * (n == 5) + 0.1 * p * (n == 5))
        for n in (1, 5)
        for p in range(prompts)
    ]
    pd.DataFrame(rows, columns=["variant", "prompt", "metric", "value"]).to_csv(path, index=False)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = simulated.write_run(tmp_path_factory.mktemp("run"))
    table.main(simulated.arguments(root))
    write_ablation(root / "tables/ablation_n_per_prompt.csv", 8)
    write_ablation(root / "tables/ablation_few_per_prompt.csv", 3)
    write_ledger(root / "claims.yaml", PLANTED["claims"])  # type: ignore[arg-type]
    claims.main(["--results", str(root), "--claims", str(root / "claims.yaml")])
    return root


@pytest.mark.parametrize("name", EXPECTED)
def test_planted_truths_get_their_verdict(results: Path, name: str) -> None:
    found = {
        c["claim"]: c["verdict"] for c in json.loads((results / "tables/claims.json").read_text())["claims"]
    }
    assert found[name] == EXPECTED[name]


def test_a_contrast_carries_difference_interval_p_and_n(results: Path) -> None:
    read = pd.read_csv(results / "tables/claims.csv")
    row = read[(read["claim"] == "true") & (read["than"] == "sds")].squeeze()
    values = pd.read_csv(results / "tables/per_prompt.csv")
    clip = values[values["metric"] == "clip"].pivot(index="prompt", columns="method", values="value")
    differences = clip["sctd"] - clip["sds"]
    assert row["n"] == 8 and row["won"] == 1 and row["p"] == pytest.approx(2 / 2**8)
    assert row["difference"] == pytest.approx(differences.mean())
    assert row["low"] < row["difference"] < row["high"]
    assert read["holm"].to_numpy() == pytest.approx(holm(read["p"].to_numpy()), nan_ok=True, rel=1e-4)


def test_a_failed_asset_is_left_out_of_its_pairs_alone(results: Path) -> None:
    read = pd.read_csv(results / "tables/claims.csv").set_index("claim")
    assert read.loc["open", "n"] == 7 and read.loc["tolerated", "n"] == 8


def test_a_stand_in_is_named_in_the_ledger(results: Path) -> None:
    read = pd.read_csv(results / "tables/claims.csv").set_index("claim")
    assert read.loc["false", "metric"] == "toy_reward"
    assert "ToyReward: SCTD (ours) higher than SDS" in (results / "tables/claims.md").read_text()


def test_what_was_not_measured_says_how_to_measure_it(results: Path) -> None:
    notes = pd.read_csv(results / "tables/claims.csv").set_index("claim")["note"]
    assert notes["unseen_ablation"] == "run `snakemake --cores all ablation_cfg`"
    assert notes["unseen_margin"] == "no margin for scale mini"
    assert notes["few_prompts"] == "too few prompts for an interval"


def test_the_ledger_is_printed_with_its_counts(results: Path, capsys: pytest.CaptureFixture) -> None:
    claims.main(["--results", str(results), "--claims", str(results / "claims.yaml")])
    printed = capsys.readouterr().out
    assert (
        printed.startswith("Scale mini, 14 claims: 5 supported, 4 not measured")
        and "not of the paper's" in printed
    )
    assert printed.count("SUPPORTED ") == 5 and printed.count("CONTRADICTED ") == 3
    assert "adjusted p" in printed and "n = 8" in printed


def test_a_distance_without_an_error_is_printed_without_p() -> None:
    row = {"metric": "fid_clip", "of": "sctd", "than": "sds", "direction": "lower", "verdict": UNRESOLVED,
           "difference": 421.3, "low": NAN, "high": NAN, "margin": 0, "holm": NAN, "n": 1,
           "note": "too few prompts for an interval"}  # fmt: skip
    words = "FID (CLIP): SCTD lower than SDS: +421.3 (too few prompts for an interval), n = 1, unresolved"
    assert claims.in_words(row, {"sctd": "SCTD", "sds": "SDS"}) == words


def test_the_ledger_needs_a_table(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: .*table1\.json"):
        claims.main(["--results", str(tmp_path)])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"direction": "better"}, "claim x: 'better' is none of higher, lower, same"),
        ({"direction": "same"}, "claim x: `same` needs a margin"),
        ({"margin": "nope"}, "claim x: no margin 'nope'"),
        ({"source": ""}, "claim x: missing source"),
    ],
)
def test_a_wrong_claim_is_refused_in_one_line(tmp_path: Path, change: dict, words: str) -> None:
    row = {"id": "x", "source": "table1", "metric": "clip", "of": "a", "direction": "higher", "than": ["b"],
           "margin": ""} | change  # fmt: skip
    path = write_ledger(tmp_path / "claims.yaml", [tuple(row.values())])
    with pytest.raises(ValueError, match=words) as caught:
        read_ledger(path)
    assert "\n" not in str(caught.value) and "claims.yaml" in str(caught.value)


def test_a_claim_stands_once(tmp_path: Path) -> None:
    row = ("x", "table1", "clip", "a", "higher", ["b"], "")
    with pytest.raises(ValueError, match="claim x stands twice"):
        read_ledger(write_ledger(tmp_path / "claims.yaml", [row, row]))


# The ablations' values ------------------------------------------------------------------------------------


def test_an_ablation_leaves_its_values_for_the_ledger(tmp_path: Path) -> None:
    space = {"n": {"title": "N", "x": "N", "panels": ["clip"], "space": [{"method": ["sctd"], "N": [1, 5]}]}}
    (tmp_path / "spaces.yaml").write_text(yaml.safe_dump(space))
    for n in (1, 5):
        for number, prompt in enumerate(simulated.PROMPTS):
            folder = tmp_path / f"scores/sctd/N~{n}/{prompt}/0"
            folder.mkdir(parents=True)
            rows = [(view, "detail", 10 + number + n * (1 + 0.1 * number) + view) for view in (0, 1)]
            pd.DataFrame(rows, columns=["view", "metric", "value"]).to_csv(folder / "scores.csv", index=False)
    ablation.main(["--results", str(tmp_path), "--name", "n", "--spaces", str(tmp_path / "spaces.yaml"),
                   "--prompts", *simulated.PROMPTS])  # fmt: skip
    values = claims.read_evidence(tmp_path, "n")
    assert values is not None and list(values.columns) == ["method", "prompt", "metric", "value"]
    first = values[(values["method"] == "sctd/N~5") & (values["prompt"] == "p01")]
    assert first["value"].item() == pytest.approx(15.5)
    path = write_ledger(tmp_path / "c.yaml", [("x", "n", "detail", "sctd/N~1", "lower", ["sctd/N~5"], "")])
    verdicts, contrasts = claims.evaluate(read_ledger(path), tmp_path, "mini")
    assert verdicts["verdict"].item() == SUPPORTED
    assert contrasts["difference"].item() == pytest.approx(-4 * (1 + 0.1 * 3.5))


def test_an_ablation_refuses_two_protocols(tmp_path: Path) -> None:
    for prompt, digest in (("p01", "aa"), ("p02", "bb")):
        folder = tmp_path / f"scores/sctd/{prompt}/0"
        folder.mkdir(parents=True)
        (folder / "scores.csv").write_text("view,metric,value\n0,clip,1\n")
        (folder / "protocol.json").write_text(json.dumps({"protocol_id": digest}))
    with pytest.raises(ValueError, match="two protocols in one table: .*p01.* has aa, .*p02.* has bb"):
        ablation.collect(tmp_path, ["sctd"], ["p01", "p02"], 1)


# The paper's list -----------------------------------------------------------------------------------------


def test_every_claim_names_metrics_and_variants_that_exist() -> None:
    ledger = read_ledger(LEDGER)
    known = set(columns()) | set(ablation.columns())
    methods = set(yaml.safe_load(Path("baselines/methods.yaml").read_text()))
    for claim in ledger.claims:
        names = methods
        if claim.source != "table1":
            names = {variant.name for variant in variants(read_ablation(SPACES, claim.source))}
        for contrast in claim.contrasts:
            assert set(ledger.metrics.get(contrast.metric, [contrast.metric])) <= known, claim.id
            assert {contrast.of, contrast.than} <= names, claim.id
    assert all({"mini", "paper"} <= set(margin) for margin in ledger.margins.values())


def test_the_papers_own_table_supports_what_it_claims_of_it() -> None:
    """The contrasts of Table 1, put to the paper's own figures: a claim that its table denies was misread."""
    from eval.paper import read_paper

    paper = read_paper(Path("baselines/paper.yaml"))
    keys = {"clip": "clip", "reward": "image_reward", "fid": "fid", "seconds": "seconds",
            "q1": "q1", "q2": "q2", "q3": "q3"}  # fmt: skip
    checked = 0
    for claim in read_ledger(LEDGER).claims:
        for contrast in claim.contrasts if claim.source == "table1" else ():
            if contrast.metric in keys:
                key = keys[contrast.metric]
                gap = paper[contrast.of][key] - paper[contrast.than][key]
                assert np.sign(gap) == {"higher": 1, "lower": -1}[contrast.direction], claim.id
                checked += 1
    assert checked == 5 * 4 + 8 + 12
