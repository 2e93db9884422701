"""Several assets in one process: each as from a job of its own, whatever becomes of the others."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from segmentdreamer import batch, checkpoint, generate, methods, optimize
from segmentdreamer.recipe import job

TEXTS = {"p03": "a yellow duck", "p02": "a red bear with a blue hat", "p05": "a pink house"}
# Density control within a few steps, so that it too may leave nothing behind for the next asset.
SETTINGS = [
    word
    for item in (
        "train.steps=6",
        "train.checkpoint_every=2",
        "optimizer.refine_start=1",
        "optimizer.refine_every=2",
        "optimizer.grow_grad=0.001",
    )
    for word in ("--set", item)
]


def make(folder: Path, *ids: str, method: str = "sctd") -> None:
    """The assets of these prompts, one job."""
    batch.main(
        [
            "--prompt",
            *(TEXTS[name] for name in ids),
            "--prompt-id",
            *ids,
            "--method",
            method,
            "--seed",
            "1",
            "--out",
            *(str(folder / name) for name in ids),
            "--quiet",
            *SETTINGS,
        ]
    )


def calls_of_a_step(monkeypatch: pytest.MonkeyPatch, fail_at: int, error: type[BaseException]) -> list[int]:
    """Lists the step of each call from now on; the call of this number raises the error."""
    original, calls = optimize.take_step, list[int]()

    def take_step(run: optimize.Run, *rest: object) -> optimize.Row:
        calls.append(run.step)
        if len(calls) == fail_at:
            raise error("out of luck")
        return original(run, *rest)

    monkeypatch.setattr(optimize, "take_step", take_step)
    return calls


@pytest.mark.parametrize("method", ["sds", "cds", "gcs", "sctd"])
def test_each_asset_has_the_bytes_and_records_of_a_job_of_its_own(tmp_path: Path, method: str) -> None:
    make(tmp_path, *TEXTS, method=method)
    for name, text in TEXTS.items():
        generate.main(
            [
                text,
                "--prompt-id",
                name,
                "--method",
                method,
                "--seed",
                "1",
                "--out",
                str(tmp_path / "alone"),
                "--quiet",
                *SETTINGS,
            ]
        )
        for file in ("asset.ply", "train.csv"):
            assert (tmp_path / name / file).read_bytes() == (tmp_path / "alone" / file).read_bytes()
        ours, theirs = (
            json.loads((tmp_path / folder / "provenance.json").read_text()) for folder in (name, "alone")
        )
        assert ours == theirs
        ours, theirs = (
            json.loads((tmp_path / folder / "cost.json").read_text()) for folder in (name, "alone")
        )
        assert ours.keys() == theirs.keys()
        assert all(ours[key] == theirs[key] for key in ("nfe", "encodes", "decodes", "tflop", "steps"))
        assert 0 < ours["seconds"] <= ours["wall_seconds"]
    assert not list(tmp_path.rglob(".checkpoint.pt"))


def test_networks_are_loaded_and_warmed_up_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from segmentdreamer.prior import diffusers_prior
    from segmentdreamer.timing import warmup

    done: list[str] = []
    for module, name in ((diffusers_prior, "open_prior"), (warmup, "warm_up")):
        original = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *args, f=original, n=name, **more: (done.append(n), f(*args, **more))[1]
        )
    make(tmp_path, "p03", "p02")
    assert done == ["open_prior", "warm_up"]


def test_a_killed_job_goes_on_where_it_was_and_makes_no_finished_asset_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "straight", "p03", "p02")
    calls_of_a_step(monkeypatch, fail_at=6 + 4, error=KeyboardInterrupt)  # in the fourth step of p02
    with pytest.raises(SystemExit, match="130"):
        make(tmp_path, "p03", "p02")
    first = pd.read_csv(tmp_path / "p03/train.csv")
    (tmp_path / "p03/asset.ply").unlink()  # Snakemake takes away what a killed job wrote
    steps = calls_of_a_step(monkeypatch, fail_at=0, error=KeyboardInterrupt)
    make(tmp_path, "p03", "p02")
    assert steps == [2, 3, 4, 5]  # of p02, from its checkpoint
    assert len(first) == 6
    for name in ("p03/asset.ply", "p02/asset.ply", "p03/train.csv", "p02/train.csv"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


def test_an_asset_that_cannot_be_made_leaves_the_others_alone_and_is_named_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "alone", "p05")
    calls_of_a_step(monkeypatch, fail_at=6 + 1, error=MemoryError)
    make(tmp_path, "p03", "p02", "p05")
    assert (tmp_path / "p05/asset.ply").read_bytes() == (tmp_path / "alone/p05/asset.ply").read_bytes()
    reason = json.loads((tmp_path / "p02/cost.json").read_text())["failed"]
    assert "step 1 ran out of memory" in reason and reason in capsys.readouterr().err


def test_an_optimization_that_comes_to_nothing_is_an_empty_asset_among_whole_ones(tmp_path: Path) -> None:
    batch.main(
        [
            "--prompt",
            *TEXTS.values(),
            "--method",
            "sds",
            "--quiet",
            *SETTINGS,
            "--set",
            "optimizer.prune_opacity=1",
            "--out",
            *(str(tmp_path / name) for name in TEXTS),
        ]
    )
    for name in TEXTS:
        cost = json.loads((tmp_path / name / "cost.json").read_text())
        assert "every Gaussian was pruned" in cost["failed"]


def test_bad_input_is_one_line_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, told in (
        (["--out", str(tmp_path / "a")], "as many values"),
        (["--out", str(tmp_path / "a"), str(tmp_path / "b"), "--method", "nope"], "unknown method 'nope'"),
    ):
        with pytest.raises(SystemExit) as stopped:
            batch.main(["--prompt", "a duck", "a bear", *words])
        text = capsys.readouterr().err + str(stopped.value)
        assert told in text and len(text.strip().splitlines()) <= 2
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_belongs_to_the_code_of_its_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finished asset of a failed job is not taken for that of changed code."""
    keys: list[str] = []
    save = checkpoint.save_checkpoint
    monkeypatch.setattr(
        checkpoint, "save_checkpoint", lambda run, path, key: (keys.append(key), save(run, path, key))[1]
    )
    make(tmp_path, "p03", method="sds")
    (tmp_path / "changed.py").write_text("other")
    entry = methods.registry()["sds"] | {"code": [str(tmp_path / "changed.py")]}
    monkeypatch.setattr(job, "registry", lambda: {"sds": entry})
    make(tmp_path, "p03", method="sds")
    assert len(set(keys)) == 2
