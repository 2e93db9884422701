"""Table 1 as one HTML page: sortable, self-contained, every figure with its details, every asset linked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, Template

from .formats import Table, minus


@dataclass(frozen=True)
class Section:
    """Something below the table: a heading, a line of text, a table, and what its links lead to, if any."""

    title: str
    text: str
    table: Table
    links: str = ""


def page(table: Table, sections: list[Section]) -> str:
    """The whole document; a click on a header sorts by it."""
    return template().render(table=table, sections=sections) + "\n"


def html_table(table: Table) -> str:
    """The table alone."""
    return str(template().make_module({"table": table, "sections": []}).grid(table))  # type: ignore[attr-defined]


@cache
def template() -> Template:
    def finish(value: Any) -> Any:
        return minus(value) if type(value) is str else value  # what is markup already is done

    folder = FileSystemLoader(Path(__file__).parent, encoding="utf-8")
    return Environment(loader=folder, autoescape=True, finalize=finish).get_template("page.html")
