"""The package outside of a clone: one name in the user's environment, with all that it needs."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path, PurePath

import pytest

from segmentdreamer.__main__ import COMMANDS

ROOT = Path(__file__).parents[1]
TAKEN = (
    "segmentdreamer", "eval", "baselines", "prompts", "toybox/models", "workflow/config", "workflow/schemas",
)  # fmt: skip
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


def test_every_file_that_installed_code_names_is_installed() -> None:
    """A path of the clone as a text in the code: `workflow/schemas/config.schema.yaml`."""
    rooms = {path: name for name, path in SETTINGS["package-dir"].items()}
    named = {
        node.value
        for room in ("segmentdreamer", "eval", "baselines")
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if re.fullmatch(r"[\w.-]+(/[\w.-]+)+", node.value) and (ROOT / node.value).is_file()
    }
    assert {"workflow/schemas/config.schema.yaml", "workflow/config/default.yaml"} <= named
    for name in named:
        (room,) = (room for room in rooms if name.startswith(f"{room}/"))
        patterns = SETTINGS["package-data"][rooms[room]]
        assert any(PurePath(name).relative_to(room).match(pattern) for pattern in patterns), name


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


def test_the_wheel_brings_one_package_with_all_data(site: Path) -> None:
    brought = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert brought == {"segmentdreamer", "bin"}
    for room in (*TAKEN[:4], *TAKEN[5:]):
        for path in (ROOT / room).rglob("*"):
            if path.suffix in (".py", ".yaml", ".html", ".tsv", ".css") or path.parent.name == "static":
                below = path.relative_to(ROOT / "segmentdreamer" if room == "segmentdreamer" else ROOT)
                assert (site / "segmentdreamer" / below).is_file(), below


@pytest.mark.slow
def test_every_command_answers_outside_of_the_clone(site: Path, tmp_path: Path) -> None:
    program = str(site / "bin/segmentdreamer")
    for name in COMMANDS:
        away(site, tmp_path, sys.executable, program, name, "--help")


def test_an_asset_is_made_shown_and_scored_outside_of_the_clone_as_in_it(site: Path, tmp_path: Path) -> None:
    program = str(site / "bin/segmentdreamer")
    assert away(site, tmp_path, sys.executable, program, "--version").startswith("segmentdreamer ")
    made = ["generate", "a yellow duck", "--method", "sds", "--set", "train.steps=2", "--quiet", "--out", "a"]
    away(site, tmp_path, sys.executable, program, *made)
    shown = ["views", "--asset", "a/asset.ply", "--out", "v/p03", "--scale", "mini", "--views", "4"]
    away(site, tmp_path, sys.executable, program, *shown)
    scored = ["score", str(tmp_path / "v"), "--prompts", "prompts/toybox.tsv", "--out"]
    away(site, tmp_path, sys.executable, program, *scored, str(tmp_path / "s"))
    here = away(ROOT, ROOT, sys.executable, "-m", "segmentdreamer", *scored, str(tmp_path / "here"))
    assert "judge" in here
    assert (tmp_path / "s/scores.csv").read_text() == (tmp_path / "here/scores.csv").read_text()
    look = "import segmentdreamer.eval.score, sys; print({'eval', 'baselines', 'toybox'} & {*sys.modules})"
    assert away(site, tmp_path, sys.executable, "-c", look).strip() == "set()"
