"""A table as one neutral description, and as Markdown (LaTeX: latex.py, the page: page.py)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

BETTER, WORSE, NOTHING = "▲", "▼", "–"
HYPHEN = re.compile(r"(?<![\w.)\]-])-(?=\.?\d)|(?<=\de)-(?=\d)")  # of a negative number or exponent
MARKUP = re.compile(r"[\\`*_<>|~]|(?<=\])\(|&(?=#|\w+;)")


class Marked(str):
    """Text that is Markdown already; all other text is quoted before it stands in a page."""


@dataclass(frozen=True)
class Cell:
    """One figure: what is printed, and what a reader may ask of it."""

    value: float = float("nan")  # sorts a column
    text: str = NOTHING  # the mean
    interval: str = ""  # [low, high]
    mark: str = ""  # BETTER or WORSE than the reference method
    letters: str = ""  # methods that share one do not differ
    paper: str = ""  # the paper's value
    best: bool = False
    details: str = ""  # n, interval, adjusted p, protocol
    links: Sequence[tuple[str, str]] = ()  # texts and relative paths

    @property
    def key(self) -> str:
        """What a column is sorted by: the figure, else the text; empty where there is neither."""
        return "" if self.text == NOTHING else self.text if self.value != self.value else f"{self.value:.9g}"


@dataclass(frozen=True)
class Row:
    title: str
    cells: list[Cell]
    notes: str = ""  # numbers of footnotes
    color: str = ""  # the method's, #rrggbb; a page shows it


@dataclass(frozen=True)
class Block:
    """Rows between two rules; the first block of a table has no heading."""

    heading: str
    rows: list[Row]


@dataclass(frozen=True)
class Table:
    title: str  # "Table 1": LaTeX numbers its tables itself
    caption: str
    header: list[str]  # of every column, that of the titles among them
    blocks: list[Block]
    notes: list[str] = field(default_factory=list)  # numbered from 1
    texts: list[str] = field(default_factory=list)  # what each column means


def minus(text: str) -> str:
    """Text whose negative numbers have a minus instead of a hyphen."""
    return HYPHEN.sub("−", text)


def quote(text: str) -> Marked:
    """Text that reads in Markdown as it is written, on one line; Marked text is left alone."""
    if isinstance(text, Marked):
        return text
    return Marked(MARKUP.sub(r"\\\g<0>", minus(" ".join(text.split()))))


def grid(header: list[str], body: list[list[str]]) -> str:
    """A pipe table; cells are quoted unless they are Marked."""
    lines: list[list[str]] = [header, [Marked("---")] * len(header), *body]
    return "\n".join("| " + " | ".join(quote(cell) for cell in line) + " |" for line in lines)


def markdown(table: Table) -> str:
    """Caption, pipe table, numbered notes, and what the columns mean."""
    body: list[list[str]] = []
    for block in table.blocks:
        if block.heading:
            body.append([Marked(f"*{quote(block.heading)}*"), *[""] * (len(table.header) - 1)])
        for row in block.rows:
            marks = f" <sup>{row.notes}</sup>" if row.notes else ""
            body.append([Marked(quote(row.title) + marks), *map(markdown_cell, row.cells)])
    notes = [f"{number}. {quote(note)}" for number, note in enumerate(table.notes, 1)]
    texts = [f"- {quote(text)}" for text in table.texts]
    top = f"**{quote(table.title)}.** {quote(table.caption)}"
    parts = [top, grid(table.header, body), "\n".join(notes), "\n".join(texts)]
    return "\n\n".join(part for part in parts if part) + "\n"


def markdown_cell(cell: Cell) -> Marked:
    mean = f"**{quote(cell.text)}**" if cell.best else quote(cell.text)
    shown = " ".join(part for part in (mean + cell.mark, minus(cell.interval), cell.letters) if part)
    return Marked(shown + (f"<br>paper {minus(cell.paper)}" if cell.paper else ""))
