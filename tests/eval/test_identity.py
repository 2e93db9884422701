"""A table refuses scores that are not those planned, and assets that were made under other conditions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import simulated_run as simulated

from eval.identity import of_cells
from eval.reference.origin import check_drawn
from eval.run import read_run

ROWS = ([*simulated.METHODS], [*simulated.CONTROLS], [*simulated.PROMPTS], 1)


def identity(*names: object) -> list[str]:
    return [" ".join(map(str, names))]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose scores say what they are."""
    simulated.write_run(tmp_path)
    for path in tmp_path.glob("scores/*/*/*/protocol.json"):
        method, prompt, seed = path.parts[-4:-1]
        told = {"identity": identity(method, prompt, int(seed))[0]}
        path.write_text(json.dumps(json.loads(path.read_text()) | told))
    return tmp_path


def test_scores_of_another_plan_are_named_and_refused(run: Path) -> None:
    planned = of_cells(identity, *ROWS)
    assert len(read_run(run, *ROWS, planned).assets) == len(planned) == len(read_run(run, *ROWS).assets)
    path = run / "scores/gcs/p03/0/protocol.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"identity": "older"}))
    with pytest.raises(ValueError, match=r"the scores of gcs p03 are not of the assets.*configured now"):
        read_run(run, *ROWS, planned)


@pytest.mark.parametrize(("key", "value"), [("numbers", 2), ("device", "cuda"), ("threads", 4)])
def test_assets_made_under_other_conditions_are_not_compared(run: Path, key: str, value: object) -> None:
    usual = {"numbers": 1, "device": "cpu", "threads": 1}
    for path in run.glob("assets/*/*/*/provenance.json"):
        told = usual | ({key: value} if "/sctd/p05/" in str(path) else {})
        path.write_text(json.dumps(json.loads(path.read_text()) | told))
    with pytest.raises(ValueError, match="two conditions in one table: .*sctd/p05"):
        read_run(run, *ROWS)


def test_a_reference_of_another_plan_is_refused(run: Path) -> None:
    path = run / "reference/features.npz"
    check_drawn(path, "")
    with pytest.raises(ValueError, match="not of the prior, prompts and scorers that are configured now"):
        check_drawn(path, "0123456789abcdef")
