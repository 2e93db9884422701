"""Table 1 as one HTML page: sortable, self-contained, every figure with its details, every asset linked."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape as escape_html

import numpy as np

from .formats import NOTHING, Cell, Row, Table, minus

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fff; --faint: #5f6368; --line: #c8ccd0;
  --band: #f3f5f7; --best: #0b5394; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --paper: #16181b; --faint: #a4abb3;
  --line: #3d434a; --band: #20242a; --best: #7fb8f0; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem; }
h1, h2 { font-weight: 600; line-height: 1.2; }
p, li { max-width: 60rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; border-block: 2px solid var(--ink); font-variant-numeric: tabular-nums; }
thead { border-bottom: 1px solid var(--ink); }
tbody + tbody { border-top: 1px solid var(--ink); }
th, td { padding: .3rem .7rem; text-align: right; white-space: nowrap; vertical-align: top; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--paper); }
tbody tr:hover > * { background: var(--band); }
th button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0; padding: 0;
  cursor: pointer; }
th[aria-sort=ascending] button::after { content: " ▴"; }
th[aria-sort=descending] button::after { content: " ▾"; }
sup { line-height: 0; }
td small { display: block; color: var(--faint); }
small a + a::before { content: "· "; }
td[title] { cursor: help; }
td b { color: var(--best); }
td[style]::before { content: ""; display: inline-block; width: .65em; height: .65em; border-radius: 50%;
  margin-right: .45em; background: var(--method); }
.block { color: var(--faint); font-style: italic; text-align: left; }
a { color: var(--best); }
"""
# Each block of rows is sorted for itself, so that controls stay below their rule; figures that are missing
# go last either way.
SCRIPT = """
for (const button of document.querySelectorAll('th button')) button.addEventListener('click', () => {
  const head = button.closest('th'), table = head.closest('table');
  const column = [...head.parentNode.children].indexOf(head);
  const up = head.getAttribute('aria-sort') !== 'ascending';
  for (const other of table.querySelectorAll('th')) other.removeAttribute('aria-sort');
  head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
  const key = row => row.children[column].dataset.value ?? '';
  const compare = (a, b) => {
    if (a === '' || b === '') return (a === '') - (b === '');
    const order = isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
    return up ? order : -order;
  };
  for (const body of table.tBodies) {
    const rows = [...body.rows].filter(row => !row.querySelector('.block'));
    rows.sort((a, b) => compare(key(a), key(b))).forEach(row => body.append(row));
  }
});
"""


@dataclass(frozen=True)
class Asset:
    """One cell of the section by prompts: a figure, what else is known, and links (text, relative path)."""

    value: float
    text: str
    details: str
    links: list[tuple[str, str]]


@dataclass(frozen=True)
class Section:
    """Something below the table: a heading, a line of text, a table, and what its links lead to, if any."""

    title: str
    text: str
    table: str  # HTML
    links: str = ""


def escape(text: str) -> str:
    """Text for HTML, negative numbers with a minus."""
    return escape_html(minus(text))


def page(table: Table, sections: list[Section]) -> str:
    """The whole document."""
    parts = [
        "<!doctype html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(table.title)}</title>", f"<style>{STYLE}</style>", "</head>", "<body>",
        f"<h1>{escape(table.title)}</h1>", f"<p>{escape(table.caption)}</p>",
        html_table(table), html_notes(table),
        *map(html_section, sections),
        f"<script>{SCRIPT}</script>", "</body>", "</html>",
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def html_section(section: Section) -> str:
    links = f' <span class="links">{escape(section.links)}</span>' if section.links else ""
    return f"<h2>{escape(section.title)}</h2>\n<p>{escape(section.text)}{links}</p>\n{section.table}"


def html_table(table: Table) -> str:
    """The table alone; a click on a header sorts by it."""
    bodies = []
    for block in table.blocks:
        top = f'<tr><td class="block" colspan="{len(table.header)}">{escape(block.heading)}</td></tr>'
        rows = [top] * bool(block.heading) + [html_row(row) for row in block.rows]
        bodies.append("<tbody>\n" + "\n".join(rows) + "\n</tbody>")
    return framed(table.header, bodies)


def framed(header: list[str], bodies: list[str]) -> str:
    names = "".join(f'<th scope="col"><button>{escape(name)}</button></th>' for name in header)
    inner = "\n".join([f"<thead><tr>{names}</tr></thead>", *bodies])
    return f'<div class="scroll"><table>\n{inner}\n</table></div>'


def html_row(row: Row) -> str:
    marks = f" <sup>{escape(row.notes)}</sup>" if row.notes else ""
    color = f' style="--method: {escape(row.color)}"' if row.color else ""
    first = f'<td data-value="{escape(row.title)}"{color}>{escape(row.title)}{marks}</td>'
    return f"<tr>{first}{''.join(html_cell(cell) for cell in row.cells)}</tr>"


def html_cell(cell: Cell) -> str:
    """Mean, then interval and letters, then the paper's figure; the details are the tooltip."""
    mean = f"<b>{escape(cell.text)}</b>" if cell.best else escape(cell.text)
    below = " ".join(part for part in (cell.interval, cell.letters) if part)
    small = [below] * bool(below) + [f"paper {cell.paper}"] * bool(cell.paper)
    inner = mean + escape(cell.mark) + "".join(f"<small>{escape(text)}</small>" for text in small)
    tooltip = f' title="{escape(cell.details)}"' if cell.details else ""
    key = "" if cell.text == NOTHING else number(cell.value) or cell.text
    return f'<td data-value="{escape_html(key)}"{tooltip}>{inner}</td>'


def number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.9g}"


def html_notes(table: Table) -> str:
    notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
    texts = "".join(f"<li>{escape(text)}</li>" for text in table.texts)
    return (f"<ol>{notes}</ol>" if notes else "") + (f"<ul>{texts}</ul>" if texts else "")


def prompt_table(header: list[str], rows: list[tuple[str, list[Asset]]]) -> str:
    """A row a prompt, a cell a method: its figure, and links to what was scored."""
    lines = []
    for title, assets in rows:
        cells = "".join(asset_cell(asset) for asset in assets)
        lines.append(f'<tr><td data-value="{escape(title)}">{escape(title)}</td>{cells}</tr>')
    return framed(header, ["<tbody>\n" + "\n".join(lines) + "\n</tbody>"])


def asset_cell(asset: Asset) -> str:
    links = " ".join(f'<a href="{escape(path)}">{escape(text)}</a>' for text, path in asset.links)
    tooltip = f' title="{escape(asset.details)}"' if asset.details else ""
    below = f"<small>{links}</small>" if links else ""
    return f'<td data-value="{number(asset.value)}"{tooltip}>{escape(asset.text)}{below}</td>'
