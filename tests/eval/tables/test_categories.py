"""Tables by category: what divides the prompts, the means of each part, and where they are shown."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import simulated_run as simulated

from eval.prompt_table import categories, read_prompts
from eval.tables import table1 as table

KINDS = {p: ("fish", "fowl")[number % 2] for number, p in enumerate(simulated.PROMPTS)}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of the simulated run (ISM failed on p03), fish and fowl in turn, the last one of no size."""
    root = simulated.write_run(tmp_path_factory.mktemp("divided"), features=False)
    words = simulated.arguments(root)
    prompts = root / "prompts.tsv"
    sizes = ["big"] * 7 + [""]
    divided = pd.read_csv(prompts, sep="\t").assign(category=list(KINDS.values()), category_size=sizes)
    divided.assign(category_own=divided["id"]).to_csv(prompts, sep="\t", index=False)
    table.main(words)
    return root / "tables"


def test_only_what_two_prompts_share_divides_them(tables: Path) -> None:
    divided = categories(read_prompts(tables.parent / "prompts.tsv"))
    assert set(divided) == {"category", "category_size"} and divided["category"] == KINDS
    assert divided["category_size"]["p08"] == "other"


def test_a_category_is_the_mean_over_its_complete_prompts(tables: Path) -> None:
    found = pd.read_csv(tables / "by_category.csv").set_index(["by", "category", "method", "metric"])
    found = found.sort_index()
    per_prompt = pd.read_csv(tables / "per_prompt.csv").set_index(["method", "metric", "prompt"])["value"]
    for kind, n in (("fish", 3), ("fowl", 4)):  # p03 is a fish
        members = [p for p, of in KINDS.items() if of == kind and p != "p03"]
        for metric in ("clip", "toy_reward", "iou"):
            row = found.loc["category", kind, "sctd", metric]
            assert row["n"] == n and row["mean"] == pytest.approx(
                per_prompt["sctd", metric][members].mean(), rel=1e-5
            )


def test_an_interval_needs_as_many_prompts_as_elsewhere(tables: Path) -> None:
    found = pd.read_csv(tables / "by_category.csv")
    clip = found[found["metric"] == "clip"]
    assert clip.loc[clip["n"] < 5, "low"].isna().all() and (clip["n"] < 5).any()
    assert clip.loc[clip["n"] >= 5, "low"].notna().all() and (clip["n"] >= 5).any()


def test_costs_and_distances_are_of_the_whole_and_not_divided(tables: Path) -> None:
    assert set(pd.read_csv(tables / "by_category.csv")["metric"]) == {"clip", "toy_reward", "iou"}


def test_page_and_markdown_show_a_table_for_each_column_and_the_page_keeps_it_closed(tables: Path) -> None:
    text, page = (tables / "by_category.md").read_text(), (tables / "table1.html").read_text()
    for title in ("By category", "By size"):
        assert f"**{title}.**" in text and f"<details><summary><h2>{title}</h2></summary>" in page
    assert "fish: 3 prompts" in text and "other: 1 prompt*" in text and "fish: 3 prompts" in page


def test_prompts_that_nothing_divides_have_no_such_table(mini: Path) -> None:
    assert not list(mini.glob("by_category*")) and "<details>" not in (mini / "table1.html").read_text()
