"""The committed bundle of the viewer is what its sources and its lock file give."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

VIEWER = Path(__file__).parents[3] / "eval/report/viewer"


@pytest.mark.slow
def test_the_viewer_is_built_anew_to_the_same_bytes(tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if not npm or not shutil.which("node"):
        pytest.skip("needs Node and npm")
    for name in ("package.json", "package-lock.json", "viewer.mjs"):
        shutil.copyfile(VIEWER / name, tmp_path / name)
    installed = subprocess.run([npm, "ci"], cwd=tmp_path, capture_output=True, text=True, check=False)
    if installed.returncode and "network" in installed.stderr:
        pytest.skip("needs npm's registry")
    assert installed.returncode == 0, installed.stderr
    subprocess.run([npm, "run", "build"], cwd=tmp_path, capture_output=True, check=True)
    assert (tmp_path / "viewer.js").read_bytes() == (VIEWER / "viewer.js").read_bytes()
