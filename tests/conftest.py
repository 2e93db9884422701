"""Shared by all tests: the torchvision guard, quiet threads, small networks with known weights."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import segmentdreamer.torchvision_guard  # noqa: F401

import pytest
import simulated_run as simulated
import torch

torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("cuda") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(autouse=True)
def _fresh_global_generator() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The tables folder of the simulated run (ISM failed on p03), made once for each scale.

    At mini the true scene is known, at paper it is not.
    """
    from eval.tables import table1 as table

    folders: dict[str, Path] = {}

    def make(scale: str) -> Path:
        if scale not in folders:
            root = simulated.write_run(tmp_path_factory.mktemp(scale), known=scale == "mini")
            table.main(simulated.arguments(root, scale))
            folders[scale] = root / "tables"
        return folders[scale]

    return make


@pytest.fixture
def mini(made: Callable[[str], Path]) -> Path:
    return made("mini")


@pytest.fixture
def paper_scale(made: Callable[[str], Path]) -> Path:
    return made("paper")
