"""The pages as a reader has them: their blocks, their commands, and a fresh clone to follow them in."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parent.parent
SHELL = ("sh", "bash")
PROGRAMS = r"(?:snakemake|make|segmentdreamer|python -m) \S"  # what begins a command in the text of a line
LEFT = {".git", ".venv", ".envs", ".snakemake", "weights", "assets", "scores", "study", "build"}  # by users
PLACE = re.compile(r"(New file|At the end of) `([^`]+)`[^`]*:$")


@dataclass(frozen=True)
class Printed:
    """A command as it is printed, and where."""

    command: str
    page: str
    line: int

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.command}"


@cache
def pages() -> list[Path]:
    """All Markdown files but the changelog, whose commands may be history's."""
    folders = [ROOT.glob("*.md"), (ROOT / "results").glob("*.md"), (ROOT / "results/published").rglob("*.md")]
    rooms = ("baselines", "docs", "eval", "prompts", "segmentdreamer", "tests", "toybox", "workflow")
    found = [*folders, *((ROOT / room).rglob("*.md") for room in rooms)]
    return sorted(path for paths in found for path in paths if path.name != "CHANGELOG.md")


def settings_files() -> list[Path]:
    return sorted([*(ROOT / "workflow").rglob("*.yaml"), *(ROOT / "segmentdreamer/scales").glob("*.yaml")])


def commands() -> list[Printed]:
    """Every command of the shell blocks, of code in lines of text, and of the settings files' comments."""
    found = [command for page in pages() for command in [*in_blocks(page), *in_text(page)]]
    return found + [command for path in settings_files() for command in in_comments(path)]


def in_blocks(page: Path) -> Iterator[Printed]:
    for token in MarkdownIt().parse(page.read_text()):
        if token.type == "fence" and token.info.strip() in SHELL:
            text = re.sub(r"\\\n\s*", " ", token.content)
            for line in filter(None, (line.strip() for line in text.splitlines())):
                if not line.startswith("#"):
                    yield Printed(line, name(page), (token.map or [0])[0] + 1)


def in_text(page: Path) -> Iterator[Printed]:
    for token in MarkdownIt().enable("table").parse(page.read_text()):
        for child in token.children or []:
            if child.type == "code_inline" and re.match(PROGRAMS, child.content):
                yield Printed(child.content, name(page), (token.map or [0])[0] + 1)


def in_comments(path: Path) -> Iterator[Printed]:
    """Commands in backquotes, which may go on in the next line of a comment."""
    comments = re.sub(r"\n\s*# ?", " ", "\n" + path.read_text())
    for command in re.findall(rf"`({PROGRAMS}[^`]*)`", comments):
        yield Printed(" ".join(command.split()), name(path), 1)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def clone(to: Path) -> Path:
    """What git would give: the working tree without what runs and installations leave in it."""

    def left(folder: str, names: list[str]) -> set[str]:
        if Path(folder) == ROOT / "results":
            return set(names) - {"README.md", "published"}
        ours = {ROOT: LEFT, ROOT / "toybox": {"runs", "data"}}.get(Path(folder), set())
        return ours | {name for name in names if re.fullmatch(r"__pycache__|\..*_cache|.*\.egg-info", name)}

    return Path(shutil.copytree(ROOT, to, ignore=left, dirs_exist_ok=True))


def follow(page: Path, root: Path) -> dict[str, list[str]]:
    """Write what a page tells to write below `root`: section -> the files that were touched.

    A block belongs to the line before it, which says `New file X:` or `At the end of X:`.
    """
    touched: dict[str, list[str]] = {}
    section, place = "", None
    for token in MarkdownIt().parse(page.read_text()):
        if token.type == "inline" and token.level == 1:
            last = token.content.splitlines()[-1]
            place = PLACE.search(last)
            section = token.content if token.map and is_heading(page, token.map[0]) else section
        elif token.type == "fence" and place:
            path = root / place[2]
            before = path.read_text() if place[1] == "At the end of" else ""
            path.write_text(before + ("\n" if place[2] == "Snakefile" else "") + token.content)
            touched.setdefault(section, []).append(place[2])
            place = None
    return touched


def is_heading(page: Path, line: int) -> bool:
    return page.read_text().splitlines()[line].startswith("#")
