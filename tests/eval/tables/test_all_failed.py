"""However much of a run has failed, it has its table, figures, ledger, sheet and report, which say so."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import simulated_run as simulated

from eval.claims.decision import main as claims
from eval.plots.figures import main as figures
from eval.plots.sheet import main as sheet
from eval.report.build import main as report
from eval.tables.formats import NOTHING
from eval.tables.table1 import main as table

LOSSES = {
    "the method that others are compared with": {("sctd", prompt) for prompt in simulated.PROMPTS},
    "all methods but one": {(m, prompt) for m in simulated.METHODS[1:] for prompt in simulated.PROMPTS},
    "all methods": {(m, prompt) for m in simulated.METHODS for prompt in simulated.PROMPTS},
    "each prompt of another method": set(zip(simulated.METHODS * 2, simulated.PROMPTS, strict=False)),
    "the start": {("start", prompt) for prompt in simulated.PROMPTS} | {("sds", "p01")},
    "the truth": {("truth", prompt) for prompt in simulated.PROMPTS},
}


def lose(root: Path, method: str, prompt: str) -> None:
    folder = root / "scores" / method / prompt / "0"
    record = json.loads((folder / "protocol.json").read_text())
    (folder / "protocol.json").write_text(json.dumps(record | {"status": "failed", "reason": "out of luck"}))
    pd.DataFrame(columns=["view", "metric", "value"]).to_csv(folder / "scores.csv", index=False)


FIGURES = ("quality_time", "quality_nfe", "heat_map", "critical_difference")  # that the rule waits for
QUICK = ("all methods", "each prompt of another method")


@pytest.mark.parametrize(
    "lost", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in LOSSES]
)
def test_a_run_of_which_much_has_failed_ends_well(tmp_path: Path, lost: str) -> None:
    root = simulated.write_run(tmp_path, failed=("none",))
    for method, prompt in LOSSES[lost]:
        lose(root, method, prompt)
    simulated.add_views(root)
    table(simulated.arguments(root))
    figures(["--results", str(root)])
    drawn = {path.name for path in (root / "plots").iterdir()}
    assert drawn == {f"{name}.{kind}" for name in FIGURES for kind in ("svg", "png")}
    claims(["--results", str(root)])
    shown = ["start", *simulated.METHODS, "truth"]
    sheet(
        [
            "--results",
            str(root),
            "--prompts",
            str(root / "prompts.tsv"),
            "--methods",
            *shown,
            "--titles",
            "baselines/methods.yaml",
            "--out",
            str(root / "tables/sheet.png"),
        ]
    )
    report([str(root)])
    rows = simulated.lines_of((root / "tables/table1.md").read_text())
    dead = {m for m in simulated.METHODS if all((m, p) in LOSSES[lost] for p in simulated.PROMPTS)}
    for method in dead:
        cells = [cell for title, cells in rows.items() if title.startswith(method.upper()) for cell in cells]
        assert cells and all(cell.startswith(NOTHING) or not cell for cell in cells[1:]), cells
    failed = json.loads((root / "tables/table1.json").read_text())["failed"]
    assert {(row["method"], row["prompt"]) for row in failed} == {
        key for key in LOSSES[lost] if key[0] in simulated.METHODS
    }
    page = (root / "report/index.html").read_text()
    assert "out of luck" in page or not failed
