"""Shared by all tests: the torchvision guard, quiet threads, small networks with known weights."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless Chromium with WebGL in software: the system's, or Playwright's own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    with playwright.sync_playwright() as program:
        places = [shutil.which("chromium"), shutil.which("google-chrome"), program.chromium.executable_path]
        path = next((place for place in places if place and Path(place).exists()), None)
        if path is None:
            pytest.skip("needs Chromium: apt install chromium, or playwright install chromium")
        flags = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        browser = program.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()
