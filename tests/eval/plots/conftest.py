"""The small ablation and its table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from simulated_ablation import PROMPTS, tabulate, write_ablation


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write_ablation(tmp_path)
    return tmp_path


@pytest.fixture
def table(results: Path) -> pd.DataFrame:
    return tabulate(results, PROMPTS)
