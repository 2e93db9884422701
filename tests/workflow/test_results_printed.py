"""What a finished run prints: its table, its ledger, which assets failed and why, and a selection's name."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dry_runs import ROOT

FAILED = [{"method": "sds", "prompt": "p02", "seed": 1, "reason": "out of memory"}]


@pytest.fixture
def printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What is printed of a run that made these files; SELECTED as the Snakefile has it."""
    source = (ROOT / "workflow/rules/plan/inputs.smk").read_text()
    (function,) = (node for node in ast.parse(source).body if getattr(node, "name", "") == "print_results")

    def run(*made: str, failed: Any = (), selected: str = "") -> str:
        (tmp_path / "table1.md").write_text("THE TABLE")
        (tmp_path / "claims.log").write_text("THE LEDGER")
        (tmp_path / "table1.json").write_text(json.dumps({"failed": [*failed]}))
        here = str(tmp_path)
        names = {"SELECTED": selected, "TABLES": here, "CLAIMS": here, "CLAIMS_LOGS": here, "RESULTS": "r"}
        scope: dict[str, Any] = names | {"json": json, "Path": Path}
        exec(compile(ast.Module([function], []), "inputs.smk", "exec"), scope)
        scope["print_results"]({f"{here}/{name}" for name in made})
        return capsys.readouterr().out.replace(here, "TABLES")

    return run


def test_what_was_made_is_printed_and_nothing_else(printed: Callable[..., str]) -> None:
    assert printed() == ""
    assert printed("table1.md") == "THE TABLE\n"
    assert printed("claims.json", "table1.json") == "THE LEDGER\n"
    assert printed("table1.md", "claims.json") == "THE TABLE\nTHE LEDGER\n"


def test_failed_assets_are_named_with_their_reasons_and_how_to_try_again(printed: Callable[..., str]) -> None:
    told = printed("table1.json", failed=FAILED)
    assert "1 assets failed" in told and "delete its folder below r/assets" in told
    assert "sds p02, seed 1: out of memory" in told
    assert printed("table1.md", failed=FAILED) == "THE TABLE\n"  # of an earlier run


def test_a_selection_is_told_with_its_place(printed: Callable[..., str]) -> None:
    assert printed("table1.md", selected="sds+ism").startswith(
        "selected on the command line: sds+ism; tables in"
    )
