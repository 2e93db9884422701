"""The package outside of a clone: one name in the user's environment, with all that it needs."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TAKEN = ("segmentdreamer", "eval", "baselines", "prompts", "toybox/models", "workflow/config")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def test_every_package_of_the_clone_is_installed_below_segmentdreamer() -> None:
    where = {path: name for name, path in SETTINGS["package-dir"].items()} | {
        "segmentdreamer": "segmentdreamer"
    }
    for room in ("segmentdreamer", "eval", "baselines"):
        for path in sorted((ROOT / room).rglob("__init__.py")):
            below = path.parent.relative_to(ROOT / room).parts
            assert ".".join([where[room], *below]) in SETTINGS["packages"]
    assert all(name.split(".")[0] == "segmentdreamer" for name in SETTINGS["packages"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the wheel of a copy of the clone is installed into."""
    import shutil

    copy, target = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("site")
    for name in TAKEN:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    install = ["install", "-q", "--no-deps", "--no-build-isolation", "--target", str(target), str(copy)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True)
    return target


def away(site: Path, folder: Path, *command: str) -> str:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env |= {"PYTHONPATH": str(site)}
    ran = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.slow
def test_the_wheel_brings_one_package_with_all_data(site: Path) -> None:
    brought = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert brought == {"segmentdreamer", "bin"}
    for room in ("segmentdreamer", "eval", "baselines", "prompts", "workflow/config"):
        for path in (ROOT / room).rglob("*"):
            if path.suffix in (".py", ".yaml", ".html", ".tsv", ".css") or path.parent.name == "static":
                below = path.relative_to(ROOT / "segmentdreamer" if room == "segmentdreamer" else ROOT)
                assert (site / "segmentdreamer" / below).is_file(), below


@pytest.mark.slow
def test_every_command_and_a_baseline_work_outside_of_the_clone(site: Path, tmp_path: Path) -> None:
    program = str(site / "bin/segmentdreamer")
    assert away(site, tmp_path, sys.executable, program, "--version").startswith("segmentdreamer ")
    for name in ("score", "study", "report", "watch", "publish", "weights", "benchmark", "start", "reference",
                 "theory"):  # fmt: skip
        away(site, tmp_path, sys.executable, program, name, "--help")
    made = ["generate", "a yellow duck", "--method", "sds", "--set", "train.steps=2", "--quiet", "--out", "a"]
    away(site, tmp_path, sys.executable, program, *made)
    shown = ["views", "--asset", "a/asset.ply", "--out", "v/p03", "--scale", "mini", "--views", "4"]
    away(site, tmp_path, sys.executable, program, *shown)
    scored = ["score", "v", "--prompts", "prompts/toybox.tsv", "--out", "s"]
    assert "clip" in away(site, tmp_path, sys.executable, program, *scored)
    look = "import segmentdreamer.eval.score, sys; print({'eval', 'baselines', 'toybox'} & {*sys.modules})"
    assert away(site, tmp_path, sys.executable, "-c", look).strip() == "set()"
