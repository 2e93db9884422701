"""The notebook runs as it stands, and what the pages' examples import is there."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pages
import pytest
from markdown_it import MarkdownIt

NOTEBOOK = json.loads((pages.ROOT / "docs/python.ipynb").read_text())
CELLS = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_is_committed_without_outputs() -> None:
    assert not any(cell.get("outputs") for cell in NOTEBOOK["cells"])


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_what_an_example_imports_is_there(page: str) -> None:
    tokens = MarkdownIt().parse((pages.ROOT / page).read_text())
    blocks = [token.content for token in tokens if token.type == "fence" and token.info == "python"]
    lines = [line for block in blocks for line in ast.parse(block).body if isinstance(line, ast.ImportFrom)]
    exec(compile(ast.Module(lines, []), page, "exec"), {})
    assert lines


def test_the_notebook_makes_renders_scores_and_compares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = pages.clone(tmp_path / "clone")
    monkeypatch.chdir(root)
    said: dict = {}
    for number, cell in enumerate(CELLS):
        exec(compile(cell, f"cell {number} of the notebook", "exec"), said)
    assert said["views"].shape == (120, 64, 64, 4) and (root / "results/notebook/asset.ply").exists()
    assert {"clip", "consistency"} <= set(said["comparison"].index)
    assert said["comparison"]["published, 200 steps"]["clip"] > said["comparison"]["10 steps"]["clip"]
