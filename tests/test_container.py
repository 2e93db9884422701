"""The container files, as far as they can be held to the project without Docker or Apptainer."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCKER, APPTAINER = (ROOT / f"workflow/containers/{name}" for name in ("Dockerfile", "apptainer.def"))
BOTH = pytest.mark.parametrize("path", [DOCKER, APPTAINER], ids=lambda path: path.name)


def lines(path: Path) -> list[str]:
    """What a file does, a step a line, without comments."""
    text = re.sub(r"\\\n\s*", " ", re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.M))
    return [line.strip() for line in text.splitlines() if line.strip()]


def shell(path: Path) -> list[str]:
    """The commands that build the image."""
    steps = [line.removeprefix("RUN ") for line in lines(path) if re.match("RUN|apt-|rm |python ", line)]
    return [part.strip() for step in steps for part in step.split("&&")]


def copied(path: Path) -> list[str]:
    """The sources of what is copied into the image."""
    if path == DOCKER:
        return [line.split()[1] for line in lines(path) if line.startswith("COPY")]
    files = path.read_text().partition("%files\n")[2].partition("\n\n")[0]
    return [line.split()[0] for line in files.splitlines()]


@BOTH
def test_all_that_is_copied_is_in_the_repository(path: Path) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    known = listed.stdout.split()
    assert copied(path) and not [name for name in copied(path) if name != "." and name not in known]


def test_both_images_are_of_one_base_whose_python_is_the_projects() -> None:
    (docker,) = (line.split()[1] for line in lines(DOCKER) if line.startswith("FROM"))
    (apptainer,) = (line.split()[1] for line in lines(APPTAINER) if line.startswith("From:"))
    assert docker == apptainer and not docker.endswith((":latest", "python"))
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert re.findall(r"^python:(\d\.\d+)-", docker) == [wanted.removeprefix(">=")]


@BOTH
def test_an_image_installs_the_lock_torch_first_and_keeps_no_caches(path: Path) -> None:
    pip = [re.sub(r"/opt/", "", step) for step in shell(path) if "pip install" in step]
    assert "grep '^torch==' requirements.lock" in pip[0] and "--requirement requirements.lock" in pip[1]
    assert re.findall("^torch==", (ROOT / "requirements.lock").read_text(), re.M)
    assert "grep '^torch==' requirements.lock" in (ROOT / "Makefile").read_text()
    assert all("--no-cache-dir" in step for step in pip)
    apt = [step for step in shell(path) if "apt-get install" in step]
    assert apt and all("--no-install-recommends" in step for step in apt)
    assert "rm -rf /var/lib/apt/lists/*" in shell(path)


def test_the_workflow_names_the_image_that_the_definition_builds() -> None:
    (image,) = re.findall(r'^container: "(.*)"$', (ROOT / "Snakefile").read_text(), re.M)
    built = f"apptainer build {image} {APPTAINER.relative_to(ROOT)}"
    assert built in APPTAINER.read_text() and built in (ROOT / "docs/cluster.md").read_text()
    assert subprocess.run(["git", "check-ignore", "-q", image], cwd=ROOT, check=False).returncode == 0


def test_the_commands_of_the_image_are_those_of_the_manual_and_of_ci() -> None:
    page = (ROOT / "docs/cluster.md").read_text()
    heads = DOCKER.read_text() + APPTAINER.read_text()
    told = re.findall(r"^#   (.*)$", heads, re.M)
    assert len(told) == 4 and not [command for command in told if command not in page]
    job = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["container"]
    assert [step.get("run", "") for step in job["steps"]][1] == told[0]
