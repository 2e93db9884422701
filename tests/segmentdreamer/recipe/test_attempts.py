"""What kills its process is tried again, and has failed after three deaths at one point of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from segmentdreamer.recipe.attempts import DEATHS, attempt, excuse

ROOT = Path(__file__).parents[3]
# Works off three items; the second kills its process. `come` is how far it has come when it does.
PROGRAM = """
import os, signal, sys
from pathlib import Path
from segmentdreamer.recipe.attempts import attempt, restarting
folder, deadly, steps = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
def main():
    for name in "abc":
        if (folder / name).exists():
            continue
        come = (folder / "come").read_text() if (folder / "come").exists() else ""
        with attempt(folder / f"{name}.attempt", name, come) as hopeless:
            if name == "b" and not hopeless and len(come) <= steps:
                (folder / "come").write_text(come + "x" * (steps > 0))
                (folder / "deaths").open("a").write("x")
                os.kill(os.getpid(), getattr(signal, deadly))
            (folder / name).write_text(hopeless or "made")
    sys.exit(3)
restarting(main)
"""


def run(folder: Path, deadly: str, steps: int = 0) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", PROGRAM, str(folder), deadly, str(steps)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("deadly", ["SIGKILL", "SIGSEGV", "SIGABRT"])
def test_what_kills_its_process_three_times_has_failed_and_the_rest_is_made(
    tmp_path: Path, deadly: str
) -> None:
    ran = run(tmp_path, deadly)
    assert ran.returncode == 3 and ran.stderr.count(deadly) == DEATHS, ran.stderr
    texts = {name: (tmp_path / name).read_text() for name in "abc"}
    assert texts["a"] == texts["c"] == "made" and "killed 3 times" in texts["b"]
    assert not list(tmp_path.glob("*.attempt"))


def test_what_comes_further_each_time_is_made_in_the_end(tmp_path: Path) -> None:
    ran = run(tmp_path, "SIGKILL", 5)
    assert ran.returncode == 3 and (tmp_path / "b").read_text() == "made"
    assert len((tmp_path / "deaths").read_text()) == 6


def test_deaths_are_counted_over_starts_of_the_program(tmp_path: Path) -> None:
    """Where all of it is killed: each time begins where the last one ended, with its count."""
    record = tmp_path / "b.attempt"
    for deaths in range(DEATHS):
        with attempt(record, "b", "") as hopeless:
            assert not hopeless
            kept = record.read_text()
        record.write_text(kept)
        assert f'"deaths": {deaths + 1}' in kept
    with attempt(record, "another", "") as hopeless:
        assert not hopeless
    record.write_text(kept)
    with attempt(record, "b", "") as hopeless:
        assert hopeless


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"deaths": "x", "state": ["b"]}', "\0"])
def test_a_damaged_record_counts_for_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "b.attempt").write_text(content)
    with attempt(tmp_path / "b.attempt", "b") as hopeless:
        assert not hopeless


STUBBORN = """
import signal, sys, time
from segmentdreamer.recipe.attempts import restarting
def main():
    signal.signal(signal.{}, lambda *_: sys.exit(7)) if {} else None
    print("ready", flush=True)
    time.sleep(60)
restarting(main)
"""


@pytest.mark.parametrize(
    ("asked", "handled", "status"), [("SIGTERM", 0, 143), ("SIGTERM", 1, 7), ("SIGINT", 1, 7)]
)
def test_a_signal_to_stop_reaches_the_work_and_its_status_comes_back(
    asked: str, handled: int, status: int
) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", STUBBORN.format(asked, handled)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert program.stdout and program.stdout.readline()
    program.send_signal(getattr(signal, asked))
    assert program.wait(30) == status


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells a child that its parent died")
def test_the_work_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = STUBBORN.format("SIGTERM", 1).replace('"ready"', "__import__('os').getpid()")
    program = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert program.stdout
    child = int(program.stdout.readline())
    assert child != program.pid
    program.kill()
    program.wait()
    for _ in range(300):
        if not Path(f"/proc/{child}").exists() or " Z " in Path(f"/proc/{child}/stat").read_text():
            return
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the child lives on")


def test_an_error_of_a_programmer_is_no_excuse() -> None:
    assert excuse(ValueError("no\nPLY")) == "no PLY" and "memory" in excuse(MemoryError())
    with pytest.raises(TypeError):
        excuse(TypeError("a slip"))
