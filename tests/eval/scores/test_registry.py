"""The registry of metrics: what it names exists, is scored, and is part of every record."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from eval import metrics, protocol
from eval.prompt_table import read_prompts
from eval.protocol import HERE, scoring_files
from eval.scores.asset import Models
from eval.scores.scorers import load_models, prepare, score_asset
from toybox.scenes import Spec, primitives
from toybox.truth import render_orbit

ROOT = Path(__file__).parents[3]
FORMER = """protocol.py views/archive.py views/naming.py views/pictures.py views/ring.py scores/scorers.py
scores/clip.py scores/clip_score.py scores/pathologies/consistency.py scores/pathologies/floaters.py
scores/ground_truth.py scores/image_reward.py scores/inception.py scores/pathologies/janus.py
scores/pathology.py scores/toy_reward.py"""


@pytest.fixture(scope="module")
def models() -> Models:
    shipped = ROOT / "toybox/models"
    return load_models("toybox-clip", str(shipped / "clip/model.safetensors"), shipped / "reward")


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of metrics.yaml that a test may add to."""
    copy = tmp_path / "metrics.yaml"
    copy.write_text(metrics.METRICS.read_text())
    monkeypatch.setattr(metrics, "METRICS", copy)
    for known in (metrics.columns, metrics.measures, scoring_files):
        known.cache_clear()
    yield copy
    for known in (metrics.columns, metrics.measures, scoring_files):
        known.cache_clear()


def add(registry: Path, path: str) -> None:
    with registry.open("a") as stream:
        stream.write(f"new: {{class: {path}, name: New, digits: 2, note: none}}\n")


def scored(models: Models) -> pd.DataFrame:
    views = render_orbit(primitives(Spec("duck", "yellow")), 2, 0.0, 64)
    return score_asset(prepare(models, read_prompts(ROOT / "prompts/toybox.tsv")), views, "p03")[0]


def test_every_file_that_makes_a_score_is_in_its_record() -> None:
    known = {path.relative_to(HERE).as_posix() for path in scoring_files()}
    assert set(FORMER.split()) <= known
    assert "tables/table1.py" not in known and "scores/folder.py" not in known
    assert all(path.is_file() for path in scoring_files())


def test_an_entrys_file_and_what_it_imports_join_the_record(registry: Path) -> None:
    before, digest = set(scoring_files()), protocol.code_digest()
    add(registry, "statistics.ranks:CriticalDifference")
    for known in (metrics.columns, metrics.measures, scoring_files):
        known.cache_clear()
    assert set(scoring_files()) - before == {HERE / "statistics/ranks.py"}
    assert protocol.code_digest() != digest


def test_an_entry_whose_file_or_class_is_missing_is_an_error(registry: Path, models: Models) -> None:
    add(registry, "scores.absent:Absent")
    with pytest.raises(FileNotFoundError, match="absent.py"):
        scoring_files()
    with pytest.raises(ValueError, match=r"new has no class scores.absent:Absent"):
        scored(models)


def test_an_entry_whose_class_is_missing_from_its_file_is_an_error(registry: Path, models: Models) -> None:
    add(registry, "scores.pathologies.floaters:Absent")
    with pytest.raises(ValueError, match=r"new has no class scores.pathologies.floaters:Absent"):
        scored(models)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("{class: 'a:B', name: A, digits: 1, note: n, needs: [aplha]}", "new.needs.0: 'aplha' is not one of"),
        ("{class: 'a:B', name: A, digits: 1, note: n, neds: [alpha]}", "new: .*'neds' was unexpected"),
        ("{class: 'a:B', name: A, digits: 1, note: n, better: upp}", "new.better: 'upp' is not one of"),
        ("{class: a.b, name: A, digits: 1, note: n}", "new.class: 'a.b' does not match"),
        ("{class: 'a:B', digits: 1, note: n}", "new: 'name' is a required property"),
        ("hello", "new: 'hello' is not of type 'object'"),
    ],
)
def test_an_entry_of_another_form_is_told_in_one_line(registry: Path, entry: str, words: str) -> None:
    registry.write_text(f"{registry.read_text()}new: {entry}\n")
    with pytest.raises(ValueError, match=f"metrics.yaml: {words}") as caught:
        metrics.check_columns()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ["from eval.views import ring", "import segmentdreamer.eval.metrics"])
def test_what_a_metric_imports_cannot_be_missing_from_its_record(tmp_path: Path, line: str) -> None:
    (tmp_path / "new.py").write_text(f"import json\n{line}\n")
    with pytest.raises(ValueError, match=r"new.py, line 2: what lies in eval is imported relatively"):
        [*protocol.imported(tmp_path / "new.py")]


def test_a_class_whose_weights_are_not_there_is_an_error(registry: Path, models: Models) -> None:
    registry.write_text(registry.read_text().replace("toybox/models/judge", "toybox/models/absent"))
    with pytest.raises(FileNotFoundError, match="judge_class: no folder toybox/models/absent"):
        scored(models)


def test_the_same_scores_are_given_wherever_one_stands(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = prepare(models, read_prompts(ROOT / "prompts/toybox.tsv")).protocol.id
    monkeypatch.chdir(tmp_path)
    assert prepare(models, read_prompts(ROOT / "prompts/toybox.tsv")).protocol.id == here


def test_a_class_may_fill_only_the_columns_that_name_it(registry: Path, models: Models) -> None:
    registry.write_text(registry.read_text().replace("clip_shuffled: {<<: *text_image,", "clip_shuffled: {"))
    with pytest.raises(ValueError, match=r"scores.clip_score:TextImage gives clip_shuffled, not in metrics"):
        scored(models)


def test_every_column_of_a_class_is_scored_and_its_protocol_is_the_registrys(models: Models) -> None:
    scorers = prepare(models, read_prompts(ROOT / "prompts/toybox.tsv"))
    order = list(metrics.columns())
    assert list(scorers.protocol.metrics) == sorted(scorers.protocol.metrics, key=order.index)
    truth = ROOT / "absent"  # opaque views have no silhouette, so it is not read
    opaque = np.full((36, 64, 64, 4), 255, np.uint8)
    found = set(score_asset(scorers, opaque, "p03", truth)[0]["metric"])
    expected = {name for m in metrics.measures() if "alpha" not in m.needs for name in m.columns}
    assert found == expected


def test_texts_are_embedded_once(models: Models) -> None:
    first = models.embed(["a yellow duck", "a red bear"])
    assert models.embed(("a yellow duck", "a red bear")) is first


ABSENT = ("jsonschema", "scipy", "typer", "numba", "snakemake", "open_clip", "matplotlib", "jinja2")
GUARD = f"""
import builtins
ours = builtins.__import__
def guard(name, *rest, **names):
    if name.partition(".")[0] in {ABSENT}:
        raise ImportError(name + " is not in that environment")
    return ours(name, *rest, **names)
builtins.__import__ = guard
import eval.scores.image_reward
from eval.protocol import code_digest
print(code_digest())
"""


def test_the_isolated_program_and_its_records_need_nothing_that_its_environment_lacks() -> None:
    ran = subprocess.run([sys.executable, "-c", GUARD], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0 and len(ran.stdout.strip()) == 64, ran.stderr
