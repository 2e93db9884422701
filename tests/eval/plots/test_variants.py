"""Variants: their paths, what they set, and the two readings of guidance: Table 1, and equal conditions."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from eval.variants import Variant, fields_of, overrides, read_ablation, variants
from segmentdreamer.config import GenerationConfig, load_config
from segmentdreamer.methods import load_method, trunk_settings

SPACES = Path(__file__).parents[3] / "workflow/config/ablations.yaml"
ABLATION = {"space": [{"method": ["sctd"], "N": [1, 10], "redraw_t": [False, True]}]}
POINTS = [
    "sctd/N~1/redraw_t~False",
    "sctd/N~1/redraw_t~True",
    "sctd/N~10/redraw_t~False",
    "sctd/N~10/redraw_t~True",
]


def test_a_space_becomes_paths_in_its_order() -> None:
    assert [v.name for v in variants(ABLATION)] == POINTS
    mixed = {"space": [{"method": ["a", "b"], "omega": [3.5, 15], "end": [None]}]}
    assert [v.name for v in variants(mixed)][:2] == ["a/omega~3.5/end~null", "a/omega~15/end~null"]
    assert [v.name for v in variants({"space": [{"method": ["a"]}]})] == ["a"]


def test_a_path_may_vary_and_its_slash_does_not_part_the_name() -> None:
    path = "toybox/models/coarse_prior"
    (variant,) = variants({"space": [{"method": ["sds"], "prior.path": [path]}]})
    assert variant.name == "sds/prior.path~toybox%2Fmodels%2Fcoarse_prior"
    assert fields_of(variant.name) == {"prior.path": path}
    assert overrides(variant.name) == [f"prior.path={path}"]


def resolved(variant: Variant, scale: str) -> GenerationConfig:
    return load_config(scale, [*trunk_settings(variant.method), *overrides(variant.name)])


@pytest.mark.parametrize("name", yaml.safe_load(SPACES.read_text()))
def test_every_variant_of_every_ablation_reaches_method_and_trunk_as_it_was_meant(name: str) -> None:
    for variant in variants(read_ablation(SPACES, name)):
        config = resolved(variant, "mini")
        method = load_method(variant.method, config.methods[variant.method])
        assert fields_of(variant.name) == variant.fields
        for field, value in variant.fields.items():
            section, _, key = field.rpartition(".")
            reached = getattr(getattr(config, section) if section else method, key)
            if key == "stretch":  # worked into the counts of steps
                assert config.train.steps == round(value * load_config("mini").train.steps)
            elif isinstance(reached, tuple):
                assert [*reached] == yaml.safe_load(value)
            else:
                assert reached == value


def test_a_variant_may_switch_off_what_belongs_to_its_method() -> None:
    (plain,) = variants({"space": [{"method": ["gcs"], "brightness.enabled": [False]}]})
    assert load_config("paper", trunk_settings("gcs")).brightness.enabled
    assert not resolved(plain, "paper").brightness.enabled
    assert plain.name == "gcs/brightness.enabled~False" and plain.hyper_parameters == {}


@pytest.mark.parametrize("scale", ["mini", "paper"])
def test_the_losses_are_compared_under_equal_conditions(scale: str) -> None:
    """One guidance scale and kind, one negative prompt, no Perp-Neg, no BEG, one schedule (Fig. 5)."""
    chosen = variants(read_ablation(SPACES, "loss"))
    configs = [resolved(variant, scale) for variant in chosen]
    methods = [
        load_method(v.method, c.methods.get(v.method, {})) for v, c in zip(chosen, configs, strict=True)
    ]
    assert {v.method for v in chosen} == {"sds", "ism", "cds", "gcs", "sctd"}
    assert len({config.prompts for config in configs}) == len({config.cameras for config in configs}) == 1
    assert not configs[0].prompts.perp_neg and not any(config.brightness.enabled for config in configs)
    assert {method.omega for method in methods} == {7.5}
    assert {method.annealing for method in methods if hasattr(method, "annealing")} == {"trunk"}
    assert {method.omega_end for method in methods if hasattr(method, "omega_end")} == {None}


def test_over_exposure_is_looked_for_with_and_without_its_remedy() -> None:
    with_beg, without = (
        [
            v
            for v in variants(read_ablation(SPACES, "cfg"))
            if v.method == "gcs" and (".enabled" in v.name) == plain
        ]
        for plain in (False, True)
    )
    assert all(resolved(v, "mini").brightness.enabled for v in with_beg)
    assert not any(resolved(v, "mini").brightness.enabled for v in without)
    assert len(with_beg) == len(without) == 3


TABLE_1 = {  # omega at the first and the last step, Perp-Neg, a negative prompt, BEG
    "sds": (100, 100, False, False, False),
    "ism": (7.5, 7.5, True, True, False),
    "cds": (41, 21, False, False, False),
    "gcs": (7.5, 7.5, True, True, True),
    "sctd": (7.5, 7.5, True, True, False),
}


@pytest.mark.parametrize("name", TABLE_1)
def test_table_1_runs_every_method_with_the_guidance_of_its_authors_or_of_the_paper(name: str) -> None:
    config = load_config("paper", trunk_settings(name))
    method = load_method(name, config.methods.get(name, {}))
    last = getattr(method, "omega_end", None)
    guidance = (method.omega, method.omega if last is None else last)
    kind = (config.prompts.perp_neg, bool(config.prompts.negative), config.brightness.enabled)
    assert (*guidance, *kind) == TABLE_1[name]
