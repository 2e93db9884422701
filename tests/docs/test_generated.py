"""Pages that repeat code and results are what these say today."""

from __future__ import annotations

from typing import Any

import pytest

from docs import generated
from segmentdreamer.prior.view_prompts import PromptConfig


@pytest.mark.parametrize(
    ("path", "text"), generated.texts().items(), ids=lambda item: getattr(item, "name", "")
)
def test_the_committed_page_is_current(path: Any, text: str) -> None:
    assert path.read_text() == text, "run `python -m docs.generated`"


def test_a_setting_is_explained_by_the_comments_above_and_beside_it() -> None:
    notes = generated.field_notes(PromptConfig)
    assert notes["views"].startswith("The words that hold fully") and "nearest word" in notes["mix"]


def test_the_table_of_the_readme_has_the_published_rows_without_intervals() -> None:
    page = generated.with_table("a\n<!-- table1 -->\nold\n<!-- end -->\nb")
    assert "old" not in page and page.count("\n| ") == 7 and "[" not in page
    assert page.startswith("a\n<!-- table1 -->\n| Method") and page.endswith("<!-- end -->\nb")
