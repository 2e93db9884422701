"""Priors of one's own, and which weights a killed run goes on with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from prior_folders import generated

from segmentdreamer import benchmark, optimize
from segmentdreamer.config import load_config
from segmentdreamer.timing import flops

OWN = ("prior.class=toys:MixtureImages", "start.count=50")


def test_a_prior_of_ones_own_needs_a_class_and_a_setting(tmp_path: Path) -> None:
    generated(tmp_path, *OWN, "prior.path=''")
    cost, record = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("cost", "provenance"))
    assert cost["nfe"] == 4 * 2 * 2 and cost["encodes"] == 0 and cost["tflop"] is None and not cost["failed"]
    assert record["weights_sha256"] == "" and record["config"]["prior"]["class_"] == "toys:MixtureImages"


def test_its_steps_are_timed_without_a_count_of_operations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [word for setting in (*OWN, "prior.path=''") for word in ("--set", setting)]
    few = ["--device", "cpu", "--steps", "1", "--warmup", "0", "--methods", "sds", "--guidance", "cfg"]
    benchmark.main([*few, *settings, "--out", str(tmp_path)])
    report = json.loads((tmp_path / "benchmark.json").read_text())
    (row,) = report["rows"]
    assert report["weights"] == "toys:MixtureImages" and report["work"] is row["flops"] is None
    assert row["nfe"] == 2 and "| sds | cfg | 2.00 |" in capsys.readouterr().out
    for command in (
        lambda: benchmark.main([*few, *settings, "--random-weights"]),
        lambda: flops.scale_work(load_config("mini", [*OWN])),
    ):
        with pytest.raises((SystemExit, ValueError), match=r"prior\.class toys:MixtureImages"):
            command()


@pytest.mark.parametrize("name", ["toys:Nothing", "no_such_module:Prior", "not a name"])
def test_a_class_that_is_not_there_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(SystemExit, match=rf"^error: prior\.class '{name}' is not module:name of a prior"):
        generated(tmp_path / "out", f"prior.class={name}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("other", ["weights", "start"])
def test_a_killed_run_is_not_taken_up_on_other_weights_or_another_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    files = {"weights": tmp_path / "weights", "start": tmp_path / "start.ply"}
    files["weights"].write_text("one")
    write_cloud_of(files["start"], 0)
    settings = (*OWN, f"prior.path={files['weights']}", "start.kind=points", f"start.file={files['start']}")
    began = began_after_a_kill(tmp_path / "out", settings, monkeypatch, lambda: None)
    assert began == 2  # where the checkpoint stands

    def exchange() -> None:
        if other == "weights":
            files["weights"].write_text("two")
        else:
            write_cloud_of(files["start"], 1)

    assert began_after_a_kill(tmp_path / "again", settings, monkeypatch, exchange) == 0


def write_cloud_of(path: Path, seed: int) -> None:
    from segmentdreamer.start.clouds import Cloud, write_cloud

    write_cloud(Cloud(torch.rand(50, 3, generator=torch.Generator().manual_seed(seed)) - 0.5), path)


def began_after_a_kill(
    out: Path, settings: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None]
) -> int:
    """At which step the second call starts, the first having been killed in its fourth step."""
    original, seen = optimize.take_step, []

    def watched(run: optimize.Run, *rest: Any) -> Any:
        seen.append(run.step)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return original(run, *rest)

    monkeypatch.setattr(optimize, "take_step", watched)
    with pytest.raises(SystemExit, match="130"):
        generated(out, *settings)
    meanwhile()
    generated(out, *settings)
    monkeypatch.setattr(optimize, "take_step", original)
    return seen[4]
