"""The verdicts on a ledger of planted truths."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import simulated_run as simulated
from planted_claims import PLANTED, RUNS, write_ledger, write_values

from eval.claims import decision as claims
from eval.tables import table1 as table


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = simulated.write_run(tmp_path_factory.mktemp("run"))
    table.main(simulated.arguments(root))
    for name, (prompts, values) in RUNS.items():
        write_values(root / f"tables/ablation_{name}_per_prompt.csv", prompts, values)
    write_ledger(root / "claims.yaml", PLANTED)
    claims.main(["--results", str(root), "--claims", str(root / "claims.yaml")])
    return root


@pytest.fixture(scope="session")
def rows(results: Path) -> pd.DataFrame:
    return pd.read_csv(results / "tables/claims.csv").set_index("claim")


@pytest.fixture(scope="session")
def verdicts(results: Path) -> dict[str, dict[str, Any]]:
    return {c["claim"]: c for c in json.loads((results / "tables/claims.json").read_text())["claims"]}
