"""A folder of results has one run at a time, and nothing of a killed one goes on in it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import running
import yaml
from dry_runs import ROOT, snakemake

HOLD = "import sys, running; running.begin(sys.argv[1]); print('held', flush=True); input()"
IDLE = "import signal, sys; {}; print('idle', flush=True); input()"


def start(code: str, *words: str, **more: str) -> subprocess.Popen[str]:
    """A Python process that has printed a line; it ends when its input does."""
    env = os.environ | {"PYTHONPATH": str(ROOT / "workflow/scripts")} | more
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        env=env,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout and process.stdout.readline()
    return process


@pytest.fixture(autouse=True)
def _nothing_held(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(running.MARK, raising=False)
    yield
    running.end()


def test_a_second_run_of_a_folder_is_told_in_one_line_who_runs(tmp_path: Path) -> None:
    first = start(HOLD, str(tmp_path))
    for _ in range(2):
        with pytest.raises(ValueError, match=f"already .process {first.pid} on .*: wait") as told:
            running.begin(str(tmp_path))
        assert "\n" not in str(told.value)
    running.begin(str(tmp_path / "another"))
    first.communicate("\n")
    running.begin(str(tmp_path))


def test_a_lock_of_a_killed_run_hinders_no_other(tmp_path: Path) -> None:
    first = start(HOLD, str(tmp_path))
    first.kill()
    first.wait()
    running.begin(str(tmp_path))


def test_jobs_of_a_killed_run_are_ended_and_those_of_others_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that does not end when it is asked to is killed."""
    monkeypatch.setattr(running, "GRACE", 1.0)
    deaf = IDLE.format("signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    mine, other = {running.MARK: str(tmp_path)}, {running.MARK: str(tmp_path / "other")}
    orphans = [start(IDLE.format("0"), **mine), start(deaf, **mine)]
    others = [start(IDLE.format("0"), **other), start(IDLE.format("0"))]
    running.begin(str(tmp_path))
    assert all(process.wait(10) is not None for process in orphans)
    assert [process.poll() for process in others] == [None, None]
    told = capsys.readouterr().err
    assert all(str(process.pid) in told for process in orphans) and len(told.splitlines()) == 1
    for process in others:
        process.communicate("\n")


def test_half_written_files_of_a_killed_run_go_and_of_a_finished_one_nothing_is_looked_for(
    tmp_path: Path,
) -> None:
    partial, log = tmp_path / "assets/a/asset.ply.123.part", tmp_path / "assets/a/train.csv.part"
    partial.parent.mkdir(parents=True)
    for well, stays in ((True, True), (False, False)):
        partial.touch(), log.touch()
        process = start(HOLD, str(tmp_path))
        process.communicate("\n") if well else (process.kill(), process.wait())
        again = start(HOLD, str(tmp_path))
        assert partial.exists() == stays and log.exists()
        again.communicate("\n")


def test_what_is_made_anew_of_tables_stands_apart_until_it_is(tmp_path: Path) -> None:
    for name in ("tables/table1.md", "tables/mine/table1.md", "scores/a/scores.csv", "plots/a.svg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("old")
    outputs = [str(tmp_path / name) for name in ("tables/table1.md", "scores/a/scores.csv", "tables/no.md")]
    running.set_aside(str(tmp_path), outputs)
    assert (tmp_path / "earlier/tables/table1.md").read_text() == "old"
    assert not (tmp_path / "tables/table1.md").exists() and (tmp_path / "tables/mine/table1.md").exists()
    assert (tmp_path / "scores/a/scores.csv").exists() and (tmp_path / "plots/a.svg").exists()
    running.drop_earlier(str(tmp_path))
    assert (tmp_path / "earlier/tables/table1.md").exists()
    (tmp_path / "tables/table1.md").write_text("new")
    running.drop_earlier(str(tmp_path))
    assert not (tmp_path / "earlier").exists()


def clone(place: Path) -> Path:
    """The project in a folder of this name: what runs from a clone, nothing copied."""
    place.mkdir()
    for name in (
        "Snakefile",
        "baselines",
        "eval",
        "profiles",
        "prompts",
        "segmentdreamer",
        "toybox",
        "workflow",
    ):
        (place / name).symlink_to(ROOT / name)
    return place


def test_two_snakemakes_of_one_folder_are_one_too_many(tmp_path: Path) -> None:
    place, results = clone(tmp_path / "clone"), tmp_path / "r"
    first = start(HOLD, str(results))
    for _ in range(2):
        ran = snakemake(
            f"{results}/assets/sphere/p01/0/asset.ply", "--config", f"results={results}", cwd=place
        )
        errors = [line for line in ran.stderr.splitlines() if "error" in line.lower()]
        assert ran.returncode == 1 and len(errors) == 1 and f"process {first.pid} on" in errors[0], ran.stderr
        assert not (results / "assets").exists()
    first.kill()
    first.wait()


def test_a_clone_and_results_of_any_letters_make_a_control_and_plan_everything(tmp_path: Path) -> None:
    """Every word of every command is quoted: a shell that only reads finds the same words as were meant."""
    place, results = clone(tmp_path / "ein Klon, ä (1) & $x"), "Ergebnis 'é' (x) & $y; \"z\""
    config = {"results": results, "truth": True, "reference": {"shards": 1, "count": 8}}
    (place / "own.yaml").write_text(yaml.safe_dump(config))
    target = f"{results}/assets/sphere/p01/0/asset.ply"
    ran = snakemake(target, "--configfile", "own.yaml", cwd=place)
    assert ran.returncode == 0 and (place / target).exists(), ran.stderr
    dry = snakemake("all", "theory", "ablation_n", "-n", "-p", "--configfile", "own.yaml", cwd=place)
    shown = re.findall(r"^Shell command: (.*)$", dry.stdout + dry.stderr, re.M)
    commands = [command for command in shown if command != "None"]
    assert dry.returncode == 0 and len(commands) > 30, dry.stderr
    for command in commands:
        assert_quoted(command, results)


def assert_quoted(command: str, results: str) -> None:
    """Where a command names the folder, it is whole within one of the words that a shell finds."""
    words = [word for word in shlex.split(command) if "Ergebnis" in word]
    assert all(results in word for word in words), command


@pytest.mark.parametrize("key", ["results", "prompts"])
def test_a_path_that_would_be_a_pattern_is_refused_in_one_line(tmp_path: Path, key: str) -> None:
    (tmp_path / "own.yaml").write_text(
        yaml.safe_dump({"results": f"{tmp_path}/r"} | {key: f"{tmp_path}/{{a}}"})
    )
    ran = snakemake("-n", "--configfile", f"{tmp_path}/own.yaml")
    errors = [line for line in ran.stderr.splitlines() if line.startswith("error:")]
    assert ran.returncode == 1 and len(errors) == 1 and "{a}" in errors[0], ran.stderr


def test_a_run_needs_no_home_no_cache_no_locale_and_no_backend(tmp_path: Path) -> None:
    """Snakemake's own cache is its own affair: it lies where XDG_CACHE_HOME says."""
    odd = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "LC_ALL": "C",
        "PYTHONPATH": str(ROOT),
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "TMPDIR": str(tmp_path),
        "SEGMENTDREAMER_CACHE": "/proc/nothing",
        "MPLBACKEND": "module://no_such.backend",
        "XDG_CACHE_HOME": str(tmp_path),
    }
    target = f"{tmp_path}/r/assets/sphere/p01/0/asset.ply"
    words = [sys.executable, "-m", "snakemake", "--cores", "1", target, "--config", f"results={tmp_path}/r"]
    ran = subprocess.run(words, cwd=ROOT, env=odd, capture_output=True, text=True, check=False)
    assert ran.returncode == 0 and Path(target).exists(), ran.stderr
