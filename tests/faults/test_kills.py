"""The short version of `make test-faults`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_kills_at_random_moments_change_no_byte() -> None:
    """From a prompt to its scores; all stages, and a hundred kills: `make test-faults`."""
    words = ["tests/faults/kill.py", "--kills", "4", "--target", "scores/sctd/p01/0/scores.csv"]
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    ran = subprocess.run([sys.executable, *words], cwd=ROOT, env=env, capture_output=True, text=True)
    assert ran.returncode == 0 and "the bytes of the undisturbed one" in ran.stdout, ran.stdout + ran.stderr
