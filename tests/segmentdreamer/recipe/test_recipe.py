"""What an asset is stands before it is made: what counts, what does not, and what was edited meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from segmentdreamer import batch, generate, optimize, records
from segmentdreamer.methods import registry
from segmentdreamer.recipe import job
from segmentdreamer.recipe.identity import read_recipe, revision

ROOT = Path(__file__).parents[3]


def identify(
    *overrides: str, scale: str = "mini", method: str = "sctd", camera: str = "object", seed: int = 0
) -> str:
    entry = registry()[method]
    recipe = read_recipe(scale, method, entry, overrides, "cpu", 1)
    return recipe.identity("a duck", "p01", camera, seed)


def test_it_is_known_without_torch() -> None:
    code = "import sys, segmentdreamer.recipe.identity, eval.identity; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_another_seed_setting_or_hyper_parameter_is_another_asset_and_another_methods_is_not() -> None:
    usual = identify()
    assert len({usual, identify(seed=1), identify("train.steps=9"), identify("methods.sctd.N=3")}) == 4
    assert identify("methods.sds.omega=1") == usual == identify("prior.sha256=''")


def test_the_prompts_kind_counts_where_the_scale_asks_for_it() -> None:
    asked = ("cameras.preset=prompt",)
    assert identify(camera="animal") == identify(camera="head")
    assert identify(*asked, camera="animal") != identify(*asked, camera="head")


def test_files_count_by_what_they_hold_not_by_where_they_lie(tmp_path: Path) -> None:
    for name, text in (("a.ply", "x"), ("b.ply", "x"), ("c.ply", "y")):
        (tmp_path / name).write_text(text)
    one, same, other = (
        identify("start.kind=points", f"start.file={tmp_path}/{name}.ply") for name in ("a", "b", "c")
    )
    assert one == same != other
    with pytest.raises(FileNotFoundError):
        identify("start.kind=points", f"start.file={tmp_path}/{{prompt_id}}.ply")


def make(out: Path, *more: str) -> dict[str, Any]:
    batch.main([
        "--prompt", "a yellow duck", "--prompt-id", "p03", "--method", "sds", "--set", "train.steps=2",
        "--out", str(out), "--quiet", *more,
    ])  # fmt: skip
    return json.loads((out / "provenance.json").read_text())


def test_a_prior_of_ones_own_counts_with_the_file_that_defines_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    settings = ("prior.class=own_prior:Mine", "prior.path=''")
    (tmp_path / "own_prior.py").write_text("Mine = 1")
    before = identify(*settings)
    assert identify(*settings) == before != identify("prior.class=not_there:Mine", "prior.path=''")
    (tmp_path / "own_prior.py").write_text("Mine = 2")
    assert identify(*settings) != before


def test_an_asset_that_is_not_what_was_planned_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"planned as 0123456789abcdef, it is [0-9a-f]{16} now"):
        make(tmp_path / "a", "--identity", "0123456789abcdef")
    assert not (tmp_path / "a").exists()
    known = make(tmp_path / "b")["identity"]
    assert make(tmp_path / "c", "--identity", known)["identity"] == known


def test_a_loss_edited_while_it_runs_is_told_and_the_record_is_of_what_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "loss.py").write_text("before")
    entry = registry()["sds"] | {"code": [str(tmp_path / "loss.py")]}
    monkeypatch.setattr(job, "registry", lambda: {"sds": entry})
    before, step = make(tmp_path / "before"), optimize.take_step

    def edit(*args: Any) -> Any:
        (tmp_path / "loss.py").write_text("after")
        return step(*args)

    monkeypatch.setattr(optimize, "take_step", edit)
    during = make(tmp_path / "during")
    assert during["identity"] == before["identity"] and (before["edited"], during["edited"]) == (False, True)
    assert "was edited while it was made" in capsys.readouterr().err
    assert make(tmp_path / "during")["identity"] != before["identity"]  # the same command makes it anew


def test_records_tell_the_commit_and_whether_files_differ_from_it(tmp_path: Path) -> None:
    found = revision()
    assert not found or (len(found["commit"]) == 40 and isinstance(found["dirty"], bool))
    generate.main(["a duck", "--method", "sds", "--set", "train.steps=1", "--out", str(tmp_path), "--quiet"])
    told = json.loads((tmp_path / "provenance.json").read_text())
    assert told["numbers"] >= 1 and told["device"] == "cpu" and told["threads"] == 1
    assert found.items() <= told.items()


def test_a_large_files_digest_is_kept_until_it_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    honest = records.read_digest
    monkeypatch.setattr(records, "LARGE", 4)
    monkeypatch.setattr(records, "SETTLED", 0)
    monkeypatch.setattr(records, "read_digest", lambda path: (read.append(path), honest(path))[1])
    monkeypatch.setenv("SEGMENTDREAMER_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "weights"
    path.write_bytes(b"0000")
    digests = []
    for content in (b"0000", b"0000", b"0001"):
        if path.read_bytes() != content:
            path.write_bytes(content)
        records.large_digest.cache_clear()  # another process
        digests.append(records.file_digest(path))
    assert digests[0] == digests[1] != digests[2] and len(read) == 2
    (tmp_path / "cache/digests.json").write_text("no JSON")
    records.large_digest.cache_clear()
    assert records.file_digest(path) == digests[2]


@pytest.mark.skipif(os.getuid() == 0, reason="root writes everywhere")
def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "LARGE", 1)
    monkeypatch.setattr(records, "SETTLED", 0)
    (tmp_path / "shut").mkdir(mode=0o500)
    monkeypatch.setenv("SEGMENTDREAMER_CACHE", str(tmp_path / "shut"))
    (tmp_path / "weights").write_bytes(b"0")
    assert records.file_digest(tmp_path / "weights") == records.read_digest(tmp_path / "weights")
