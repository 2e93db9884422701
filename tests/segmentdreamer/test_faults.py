"""What happens to a run: signals, failures, full disks, odd surroundings; nothing is lost or half-written."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from segmentdreamer import generate
from segmentdreamer.generate import Asset
from segmentdreamer.optimize import AssetFailed, check_result
from segmentdreamer.prior import onnx_networks
from segmentdreamer.records import file_name
from segmentdreamer.sctd import SCTD

ROOT = Path(__file__).parents[2]
PRIOR = ROOT / "toybox/models/prior"
SMALL = ["start.count=60", "train.checkpoint_every=1000"]


def command(out: Path, steps: int, prompt: str = "a yellow duck") -> list[str]:
    words = [word for item in (*SMALL, f"train.steps={steps}") for word in ("--set", item)]
    return [sys.executable, "-m", "segmentdreamer.generate", "--prompt", prompt, "--out", str(out), *words]


def make(out: Path, steps: int = 6, prompt: str = "a yellow duck", **more: object) -> Asset:
    overrides = [*SMALL, f"train.steps={steps}"]
    return generate(prompt, overrides=overrides, out=out, quiet=True, **more)


def test_a_signal_saves_the_run_and_the_same_command_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    straight, stopped = make(tmp_path / "straight", 60), tmp_path / "stopped"
    for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        before = (stopped / "train.csv.part").stat().st_mtime_ns if stopped.exists() else 0
        run = subprocess.Popen(command(stopped, 60), cwd=ROOT, stderr=subprocess.PIPE, text=True)
        while run.poll() is None and not moved(stopped / "train.csv.part", before):
            time.sleep(0.02)
        run.send_signal(number)
        told = run.communicate()[1]
        assert run.returncode == status and "the same command goes on" in told, told
        assert "Traceback" not in told and not (stopped / "asset.ply").exists()
        log = pd.read_csv(stopped / "train.csv.part")
        assert f"stopped at step {len(log)};" in told
    run = subprocess.run(command(stopped, 60), cwd=ROOT, stderr=subprocess.PIPE, text=True, check=True)
    assert "resuming at step" in run.stderr
    for name in ("asset.ply", "train.csv"):
        assert (stopped / name).read_bytes() == (straight.path.parent / name).read_bytes()
    assert sorted(path.name for path in stopped.iterdir()) == [
        "asset.ply",
        "cost.json",
        "provenance.json",
        "train.csv",
    ]


def moved(path: Path, before: int) -> bool:
    return path.exists() and path.stat().st_mtime_ns > before


def test_a_finished_asset_stays_unless_asked_for_again_or_of_other_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = make(tmp_path)
    records = {path: (path.stat().st_ino, path.read_bytes()) for path in tmp_path.iterdir()}
    capsys.readouterr()
    found = make(tmp_path)
    assert "finished" in capsys.readouterr().err and found.cost == first.cost
    assert {path: (path.stat().st_ino, path.read_bytes()) for path in tmp_path.iterdir()} == records
    assert len(make(tmp_path, 7).rows) == 7
    (tmp_path / "asset.ply").write_bytes(b"damaged")
    make(tmp_path, 7)
    assert (tmp_path / "asset.ply").read_bytes().startswith(b"ply")
    before = (tmp_path / "asset.ply").stat().st_ino
    make(tmp_path, 7, again=True)
    assert (tmp_path / "asset.ply").stat().st_ino != before


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TypeError("a method's\nown fault"), "raised TypeError at test_faults.py"),
        (MemoryError(), "out of memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "out of memory"),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0"),
            "Tried to allocate",
        ),
    ],
)
def test_a_method_that_raises_leaves_a_failed_asset_with_the_reason(
    tmp_path: Path, error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: SCTD, *arguments: object) -> None:
        raise error

    monkeypatch.setattr(SCTD, "update", fail)
    made = make(tmp_path)
    assert reason in made.cost["failed"] and "\n" not in made.cost["failed"]
    assert len(made.parameters["means"]) == 0 and made.rows == []
    assert json.loads((tmp_path / "cost.json").read_text())["failed"] == made.cost["failed"]


def test_a_run_of_which_most_steps_were_skipped_or_a_parameter_is_not_finite_has_failed(
    tmp_path: Path,
) -> None:
    from test_checkpoint import used_run

    run = used_run()
    run.rows = [{"skipped": float(i < 6)} for i in range(10)]
    with pytest.raises(AssetFailed, match="6 of 10 steps"):
        check_result(run, 0.5)
    check_result(run, 0.6)
    run.params["scales"].data[3, 1] = torch.nan
    with pytest.raises(AssetFailed, match="its scales are not finite"):
        check_result(run, 0.6)


@pytest.mark.parametrize("limit", [10_000, 100_000])
def test_a_full_disk_ends_with_one_line_and_no_half_written_file(tmp_path: Path, limit: int) -> None:
    """The smaller one is full before the asset is whole, the other one before the checkpoint is."""
    every = ["--set", "start.count=1000", "--set", f"train.checkpoint_every={2 if limit > 50_000 else 100}"]
    ran = subprocess.run(
        [*command(tmp_path / "a", 4), *every],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    errors = [line for line in ran.stderr.splitlines() if line.startswith("error: ")]
    assert ran.returncode == 1 and len(errors) == 1 and "Traceback" not in ran.stderr, ran.stderr
    assert {path.name for path in (tmp_path / "a").iterdir()} <= {"train.csv.part"}


def test_no_home_no_cache_an_ascii_locale_a_notebooks_backend_and_odd_letters_change_nothing(
    tmp_path: Path,
) -> None:
    out = tmp_path / "ein Ort mit Leerzeichen, ä und $(nichts)"
    odd = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "LC_ALL": "C",
        "TMPDIR": str(tmp_path),
        "MPLBACKEND": "module://no_such.backend",
        "SEGMENTDREAMER_CACHE": "/proc/nothing",
    }
    ran = subprocess.run(command(out, 6), cwd=ROOT, env=odd, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert (out / "asset.ply").read_bytes() == make(tmp_path / "b").path.read_bytes()
    code = "import eval.plots.figures, eval.theory.figure"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=odd, check=True)


def test_a_clock_that_stands_still_or_jumps_changes_no_duration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert make(tmp_path).cost["wall_seconds"] > 0


def test_damaged_exports_and_those_of_killed_processes_are_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEGMENTDREAMER_CACHE", str(tmp_path))
    made = []

    def export(folder: Path, out: Path) -> None:
        made.append(out)
        shutil.copyfile(PRIOR / "model_index.json", out / "unet.onnx")
        digest = onnx_networks.file_digest(out / "unet.onnx")
        onnx_networks.write_json(out / "info.json", {"sha256": {"unet.onnx": digest}})

    monkeypatch.setattr(onnx_networks, "export", export)
    path = onnx_networks.exported(PRIOR)
    assert onnx_networks.exported(PRIOR) == path and len(made) == 1
    with (path / "unet.onnx").open("r+b") as stream:
        stream.write(b"x")
    old = tmp_path / "0-torch-1.7.part"
    old.mkdir()
    os.utime(old, (0, 0))
    assert onnx_networks.exported(PRIOR) == path and len(made) == 2 and not old.exists()
    assert "are damaged: exporting anew" in capsys.readouterr().err
    (path / "info.json").unlink()
    assert onnx_networks.exported(PRIOR) == path and len(made) == 3


@pytest.mark.parametrize(
    "text", ["../x", "/x", "a/b", "x" * 380, "", ".", "..", "ä" * 300, "a, b", "a\nb", "-", "a\0b"]
)
def test_a_folder_named_by_a_prompt_is_one_short_safe_name(text: str) -> None:
    name = file_name(text)
    assert (
        name
        and not name.startswith((".", "-"))
        and not set(name) & set("/\0\n ")
        and len(name.encode()) <= 100
    )
    assert file_name(text + "x") != name


def test_a_folder_of_plain_words_keeps_their_name() -> None:
    assert file_name("a-red-bear-with-a-blue-hat") == "a-red-bear-with-a-blue-hat"


def test_rows_and_lines_come_as_the_run_goes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = make(tmp_path, 20, "a yellow duck of glass")
    told = capsys.readouterr().err
    assert "step 10 of 20 (50%)" in told and "left" in told and "step 20 of 20 (100%)" in told
    assert "the prior never learned of, glass" in told
    assert len(pd.read_csv(tmp_path / "train.csv")) == len(made.rows) == 20


def test_a_tracker_gets_every_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import contextmanager

    from segmentdreamer.timing import journal

    rows = []

    @contextmanager
    def remember(out: Path, name: str, settings: dict[str, Any]) -> Iterator[Any]:
        yield rows.append

    monkeypatch.setitem(journal.TRACKERS, "json", remember)  # a module that is there
    made = make(tmp_path, 12, log="json")
    assert [row["step"] for row in rows] == list(range(1, 13)) and rows == made.rows
