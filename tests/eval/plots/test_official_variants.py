"""What an ablation compares: its variants, the official one of each, and what they are called."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from simulated_ablation import ABLATION, TITLES

from eval import ablation as ablation_table
from eval.variants import describe, fields_of, official_variants, read_ablation, variants
from segmentdreamer.methods import load_method

SPACES = Path(__file__).parents[3] / "workflow/config/ablations.yaml"


@pytest.mark.parametrize("file", ["ablations", "questions", "open_claims"])
def test_every_panel_is_a_known_metric_and_every_category_has_a_label(file: str) -> None:
    for entry in yaml.safe_load(SPACES.with_stem(file).read_text()).values():
        assert set(entry["panels"]) <= set(ablation_table.ablation_columns())
        assert "x" in entry or all(variant.label for variant in variants(entry))


@pytest.mark.parametrize("name", yaml.safe_load(SPACES.read_text()))
def test_every_ablation_names_the_official_variant_that_the_others_are_compared_with(name: str) -> None:
    entry = read_ablation(SPACES, name)
    against = official_variants(variants(entry), entry["official"])
    assert set(against) == {variant.name for variant in variants(entry)}
    official = set(against.values())
    assert all(against[name] == name for name in official)
    several = name in ("cfg", "stress_views")
    assert len(official) == (len({v.method for v in variants(entry)}) if several else 1)


@pytest.mark.parametrize("name", ["n", "segmentation", "threshold", "approx"])
def test_the_official_variant_of_sctds_ablations_is_sctd_as_it_is(name: str) -> None:
    entry = read_ablation(SPACES, name)
    (official,) = {*official_variants(variants(entry), entry["official"]).values()}
    assert load_method("sctd", fields_of(official)) == load_method("sctd", {})


def test_variants_are_compared_within_their_method_or_with_the_only_official_one() -> None:
    chosen = variants({"space": [{"method": ["sds", "sctd"], "omega": [7.5, 100]}]})
    names = [variant.name for variant in chosen]
    own = official_variants(chosen, [{"method": "sds", "omega": 100}, {"omega": 7.5}])
    assert own == dict(zip(names, [names[1], names[1], names[2], names[2]], strict=True))
    assert set(official_variants(chosen, [{"method": "sctd", "omega": 7.5}]).values()) == {names[2]}
    assert set(official_variants(chosen, []).values()) == {names[0]}


@pytest.mark.parametrize(
    ("official", "message"),
    [
        ([{"omega": 3}], "official .*'omega': 3.* names nothing to compare sds/omega~7.5"),
        ([{"method": "sctd"}], "fits sctd/omega~7.5, sctd/omega~100; it must name one of sctd"),
    ],
)
def test_an_official_variant_that_is_none_or_two_is_told(official: list, message: str) -> None:
    chosen = variants({"space": [{"method": ["sds", "sctd"], "omega": [7.5, 100]}]})
    with pytest.raises(ValueError, match=message):
        official_variants(chosen, official)


def test_an_unknown_ablation_is_told() -> None:
    with pytest.raises(ValueError, match="no ablation 'nope'; known: n, "):
        read_ablation(SPACES, "nope")


def test_texts_name_what_varies() -> None:
    assert next(iter(describe(variants(ABLATION), TITLES).values())) == "segments N = 1, t lifted"
    both = {"space": [{"method": ["sds", "sctd"], "omega": [5]}]}
    assert list(describe(variants(both), TITLES).values()) == ["SDS", "SCTD"]
    labeled = {"space": [{"label": "exact", "method": ["sctd"], "approx_G": [False]}]}
    assert describe(variants(labeled), TITLES)["sctd/approx_G~False"] == "exact"
