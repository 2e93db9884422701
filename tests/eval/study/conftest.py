"""A kit to hand out and a simulated study."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulated_study import METHODS, TOYBOX, simulation

from eval.study import commands as study
from eval.views.archive import write_failure


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's videos, each with bytes of its own; cds failed on p03."""
    root = tmp_path_factory.mktemp("run")
    for method in METHODS:
        for prompt in [f"p{i:02d}" for i in range(1, 7)]:
            folder = root / "views" / method / prompt / "0"
            folder.mkdir(parents=True)
            (folder / "turntable.mp4").write_bytes(f"{method} {prompt}".encode())
    write_failure("no Gaussian left", root / "views/cds/p03/0/views.zip")
    return root


@pytest.fixture(scope="module")
def kit(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("kit") / "study"
    study.main([
        "assign", "--results", str(results), "--prompts", TOYBOX, "--methods", *METHODS,
        "--volunteers", "6", "--groups", "4", "--out", str(out),
    ])  # fmt: skip
    return out


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated study: its key, and its answers."""
    out = tmp_path_factory.mktemp("rehearsal") / "study"
    study.main(simulation(out, "--volunteers", "6", "--groups", "4"))
    return out
