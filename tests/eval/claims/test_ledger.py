"""The file of claims: what it may hold, the paper's own list, and the ablations' values that it asks for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import simulated_run as simulated
import yaml
from planted_claims import PLANTED, write_ledger

from eval import ablation
from eval.claims import decision as claims
from eval.claims.evidence import Tables
from eval.claims.ledger import read_ledger
from eval.claims.verdicts import ABSOLUTE, SUPPORTED
from eval.metrics import columns
from eval.prompt_table import read_texts
from eval.run import read_run
from eval.variants import read_ablation, variants

LEDGER = Path("workflow/config/claims.yaml")
SPACES = Path("workflow/config/ablations.yaml")


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
    space = {
        "n": {
            "title": "N",
            "official": [{"N": 5}],
            "x": "N",
            "panels": ["clip"],
            "space": [{"method": ["sctd"], "N": [1, 5]}],
        }
    }
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
    assert tables.labels() == {"sctd/N~1": "segments N = 1", "sctd/N~5": "segments N = 5"}


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


def test_a_second_look_has_the_variants_of_the_first_and_none_of_its_prompts() -> None:
    first, second = (
        yaml.safe_load(Path(f"workflow/config/{name}.yaml").read_text())["ablations"]
        for name in ("toybox40", "second_look")
    )
    everyone = {row["id"] for row in read_texts("prompts/toybox40.tsv").to_dict("records")}
    assert {*first["prompts"]} | {*second["prompts"]} == everyone
    assert len(first["prompts"]) + len(second["prompts"]) == len(everyone)
    asked = yaml.safe_load(Path(second["spaces"]).read_text())
    for name, space in asked.items():
        known = {variant.name for variant in variants(read_ablation(SPACES, name))}
        named = {side for claim in read_ledger(LEDGER).claims if claim.source == name
                 for contrast in claim.contrasts for side in (contrast.of, contrast.than)}  # fmt: skip
        assert named - {""} <= {variant.name for variant in variants(space)} <= known


def test_margins_are_smaller_than_the_differences_that_the_paper_counts() -> None:
    """A margin wider than a table's whole spread would call everything the same."""
    margins = read_ledger(LEDGER).margins["clip"]
    assert margins["paper"].value == pytest.approx(30.88 - 30.73) and margins["mini"].value < 1


def test_what_the_paper_says_of_one_method_is_put_to_a_threshold() -> None:
    """Severe Janus artifacts, over-exposure, weak conditioning: no comparison can show or refute these."""
    absolute = {
        claim.id
        for claim in read_ledger(LEDGER).claims
        if all(contrast.direction in ABSOLUTE for contrast in claim.contrasts)
    }
    assert {"janus_severe", "ism_over_exposed", "gcs_over_exposed", "cds_condition"} <= absolute


def test_the_papers_own_table_supports_what_it_claims_of_it() -> None:
    """The contrasts of Table 1, put to the paper's own figures: a claim that its table denies was misread."""
    from eval.tables.paper import read_paper

    paper = read_paper(Path("baselines/paper.yaml"))
    keys = {
        "alignment": "clip",
        "reward": "image_reward",
        "fid": "fid",
        "time": "seconds",
        "q1": "q1",
        "q2": "q2",
        "q3": "q3",
    }
    checked = 0
    for claim in read_ledger(LEDGER).claims:
        for contrast in claim.contrasts if claim.source == "table1" else ():
            if contrast.metric in keys:
                key = keys[contrast.metric]
                gap = paper[contrast.of][key] - paper[contrast.than][key]
                assert np.sign(gap) == {"higher": 1, "lower": -1}[contrast.direction], claim.id
                checked += 1
    assert checked == 4 * 4 + 3 * 4 + 12
