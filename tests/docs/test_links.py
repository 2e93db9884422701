"""What a page points to is there: links, their headings, files and tests that it names."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pages
import pytest
from markdown_it import MarkdownIt

ROOMS = "baselines|docs|eval|prompts|segmentdreamer|tests|toybox|workflow"
NAMED = re.compile(rf"(?<![\w/.-])((?:{ROOMS})/[\w./-]+\.(?:py|yaml|md|tsv|smk|txt|json|ipynb))(?:::(\w+))?")
TO_COME = {  # files that docs/adding.md tells to write
    "baselines/sjc.py",
    "eval/scores/colorfulness.py",
    "prompts/mine.tsv",
    "segmentdreamer/scales/mine.yaml",
}


def links(page: Path) -> list[str]:
    tokens = MarkdownIt().enable("table").parse(page.read_text())
    children = [child for token in tokens for child in token.children or []]
    found = [child.attrs.get("href") or child.attrs.get("src") for child in children]
    return [str(link) for link in found if link and not re.match(r"[a-z]+:", str(link))]


def anchors(page: Path) -> set[str]:
    """The headings as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages.pages(), ids=pages.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = unquote(link).partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", pages.pages(), ids=pages.name)
def test_files_and_tests_that_are_named_are_there(page: Path) -> None:
    for path, test in NAMED.findall(page.read_text()):
        assert path in TO_COME or (pages.ROOT / path).exists(), path
        assert not test or f"def {test}(" in (pages.ROOT / path).read_text(), test


def test_every_page_of_the_manual_is_in_the_readmes_list() -> None:
    linked = set(links(pages.ROOT / "README.md"))
    assert {f"docs/{path.name}" for path in (pages.ROOT / "docs").glob("*.md")} <= linked


def test_the_readme_is_short() -> None:
    assert len((pages.ROOT / "README.md").read_text().splitlines()) <= 90
