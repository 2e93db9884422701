"""What a user can get wrong of settings, a row each, and every usual spelling of what is right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from refusals import assert_one_line

from segmentdreamer import methods
from segmentdreamer.config import ConfigError, load_config
from segmentdreamer.methods import check_settings
from segmentdreamer.recipe.settings import read_yaml

SETTINGS = [  # --set or overrides, and what the line says
    ("train.steps=-5", "train.steps: expected int >= 1, got -5"),
    ("train.steps=0", "train.steps: expected int >= 1"),
    ("train.steps=1e9", "<= 10000000"),
    ("train.steps=5.5", "expected int, got 5.5"),
    ("train.steps=true", "expected int, got True"),
    ("train.steps=", "expected int, got None"),
    ("train.steps=many", "expected int, got 'many'"),
    ("train.steps=[3]", "expected int, got [3]"),
    ("train.steps", "is not of the form"),
    ("=3", "is not of the form"),
    ("train.=3", "is not of the form"),
    ("train..steps=3", "is not of the form"),
    ("train.stesp=3", "is 'steps' meant?"),
    ("trian.steps=3", "is 'train' meant?"),
    ("train=3", "train: expected a mapping"),
    ("scale=paper", "a scale's name is not a setting"),
    ("scale.x=1", "scale is no section"),
    ("train.steps.more=1", "steps is no section"),
    ("train.checkpoint_every=0", ">= 1"),
    ("train.patience=0", ">= 1"),
    ("train.as_latent=1.5", "<= 1"),
    ("train.flip=-0.1", ">= 0"),
    ("train.max_skipped=2", "<= 1"),
    ("train.disparity=perhaps", "expected bool"),
    ("start.opacity=2", "start.opacity: expected float < 1, got 2"),
    ("start.opacity=0", "> 0"),
    ("start.gray=-1", ">= 0"),
    ("start.count=0", ">= 1"),
    ("start.count=1e15", "<= 10000000"),
    ("start.radius=.nan", "expected a finite number"),
    ("start.radius=.inf", "expected a finite number"),
    ("start.kind=cube", "expected one of ball, sphere"),
    ("cameras.fov=[0.6, 0.3]", "the lower value first"),
    ("cameras.fov=[0, 4]", "> 0"),
    ("cameras.fov=0.5", "expected 2 values"),
    ("cameras.radius=[-1, 2]", "> 0"),
    ("cameras.polar=[0, 200]", "<= 180"),
    ("cameras.batch=0", ">= 1"),
    ("cameras.batch=100000", "<= 1024"),
    ("cameras.preset=dog", "expected one of none, prompt"),
    ("render.size=4", ">= 8"),
    ("render.size=100000", "<= 4096"),
    ("render.background=[0, 0, 2]", "<= 1"),
    ("render.near=200", "near 200 must lie before far 100"),
    ("optimizer.eps=0", "> 0"),
    ("optimizer.means=[0, 1]", "> 0"),
    ("optimizer.refine_every=0", ">= 1"),
    ("optimizer.reset_every=0", ">= 1"),
    ("optimizer.clip_steps=0", ">= 1"),
    ("optimizer.grow_quantile=1.5", "<= 1"),
    ("optimizer.scale_max=-1", "> 0"),
    ("regularizers.tv=-1", ">= 0"),
    ("brightness.quantile=9", "<= 1"),
    ("prompts.views=[front]", "expected 4 values"),
    ("prompts.template='{x}'", "may have {prompt} and {view} alone"),
    ("prompts.template='{'", "may have {prompt} and {view} alone"),
    ("prompts.template='{prompt.a}'", "may have {prompt} and {view} alone"),
    ("prompts.mix=soft", "expected one of linear, hard"),
    ("prior.dtype=float8", "expected one of float32"),
    ("prior.sha=1", "is 'sha256' meant?"),
    ("methods.sctdd.omega=3", "is 'sctd' meant?"),
    ("methods.sctd.omgea=3", "is 'omega' meant?"),
    ("methods.sctd.omega=-1", ">= 0"),
    ("methods.sctd.omega=.nan", "expected a finite number"),
    ("methods.sctd.N=0", ">= 1"),
    ("methods.sctd.N=900", "no room"),
    ("methods.sctd.self_sign=2", "expected one of 1, -1"),
    ("methods.sctd=3", "expected a mapping"),
    ("methods.cds.t_range=[980, 20]", "the lower value first"),
    ("methods.cds.t_first=2000", "<= 999"),
    ("methods.ism.hop=0", ">= 1"),
    ("methods.sds.weight=none", "expected one of noise_to_signal"),
    ("methods.sctd.omega=[1", "is not YAML"),
    ("methods.sctd.omega=" + "[" * 5000, "is not YAML"),
]


@pytest.mark.parametrize(("override", "words"), SETTINGS)
def test_a_wrong_setting(override: str, words: str) -> None:
    assert_one_line(lambda: check_settings("mini", [override], "sctd"), words)


@pytest.mark.parametrize(
    ("spelling", "value"),
    [
        ("1e-4", 1e-4),
        ("1E-4", 1e-4),
        ("+1e-4", 1e-4),
        ("1.e-4", 1e-4),
        (".0001", 1e-4),
        ("0.0001", 1e-4),
        ("1", 1.0),
    ],
)
def test_a_number_in_every_usual_spelling(spelling: str, value: float) -> None:
    assert load_config("mini", [f"optimizer.eps={spelling}"]).optimizer.eps == value


@pytest.mark.parametrize(
    ("spelling", "value"), [("200", 200), ("2e2", 200), ("200.0", 200), ("0200", 200), (" +200 ", 200)]
)
def test_a_count_in_every_usual_spelling(spelling: str, value: int) -> None:
    assert load_config("mini", [f"train.steps={spelling}"]).train.steps == value


@pytest.mark.parametrize("spelling", ["true", "True", "TRUE", "yes", "on", "y", "1", "'true'"])
def test_a_boolean_in_every_usual_spelling(spelling: str) -> None:
    assert load_config("mini", [f"train.disparity={spelling}"]).train.disparity is True
    no = {"t": "false", "T": "False", "y": "no", "o": "off", "1": "0", "'": "'no'"}[spelling[0]]
    assert load_config("mini", [f"train.disparity={no}"]).train.disparity is False


def test_a_key_that_a_merge_brings_may_be_overridden_and_merged_again(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: &a {x: 1}\np: {q: &b {<<: *a, x: 2}}\nc: {<<: *b, 1: y, '1': z}\n")
    found = read_yaml(tmp_path / "a.yaml")
    assert found["p"] == {"q": {"x": 2}} and set(found["c"]) == {"x", 1, "1"}


FILES = [  # a scale of one's own
    ("- a\n- b\n", "expected a mapping of sections"),
    ("scale: [", "is not YAML"),
    ("scale: mini\n", "missing key 'prior'"),
    ("scale: mini\nprior: {path: x}\ntrain: 3\n", "train: expected a mapping"),
    ("scale: mini\nprior: {path: 3}\n", "prior.path: expected str"),
    ("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: &d [*c, *c]\nprior: *d\n", "unknown key 'a'"),
    ("2001-13-45: x", "is not YAML"),
    ("scale: mini\ntrain: {steps: 3}\nprior: {path: x}\ntrain: {views: 2}\n", "train stands there twice"),
    ("prior: {path: x, path: y}\n", "path stands there twice"),
    ("scale: mini\nprior: {path: x}\nprompts: {template: a fine day}\n", "has no {prompt}"),
]


@pytest.mark.parametrize(("text", "words"), FILES)
def test_a_wrong_file_of_settings(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "own.yaml").write_text(text)
    assert_one_line(lambda: load_config(tmp_path / "own.yaml"), words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected a mapping"),
        ("a: [", "is not YAML"),
        ("mine: {title: A}\nmine: {title: B}", "mine stands there twice"),
        ("mine:", "mine is no entry"),
        ("mine: text", "mine is no entry"),
        ("mine: {class: nowhere}", "class nowhere cannot be loaded"),
        ("mine: {class: baselines.sds:Nothing}", "class baselines.sds:Nothing cannot be loaded"),
        ("mine: {class: baselines.nowhere:X}", "class baselines.nowhere:X cannot be loaded"),
        ("mine: {class: null}", "class None cannot be loaded"),
        ("mine: {class: 'baselines.sds:draw_t'}", "is no dataclass"),
        ("mine: {class: 'baselines.sds:SDS', settings: null}", "mine is no entry"),
    ],
)
def test_a_registry_that_names_no_method_is_told_in_one_line(
    text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(methods, "REGISTRY", tmp_path / "methods.yaml")
    (tmp_path / "methods.yaml").write_text(text)
    with pytest.raises(ConfigError, match=re.escape(words)) as caught:
        methods.load_method("mine", {})
    assert "\n" not in str(caught.value)
