"""A table as Markdown and as LaTeX: one neutral description, printed twice (the page: eval.table_page)."""

from __future__ import annotations

from dataclasses import dataclass, field

BETTER, WORSE, NOTHING = "▲", "▼", "–"


@dataclass(frozen=True)
class Cell:
    """One figure: what is printed, and what a reader may ask of it."""

    value: float = float("nan")  # sorts a column
    text: str = NOTHING  # the mean
    interval: str = ""  # [low, high]
    mark: str = ""  # BETTER or WORSE than the reference method
    rank: str = ""
    paper: str = ""  # the paper's value
    best: bool = False
    details: str = ""  # n, interval, adjusted p, protocol


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
    caption: str
    header: list[str]  # of every column, that of the titles among them
    blocks: list[Block]
    notes: list[str] = field(default_factory=list)  # numbered from 1
    texts: list[str] = field(default_factory=list)  # what each column means


def grid(header: list[str], body: list[list[str]]) -> str:
    """A pipe table; cells must not hold line breaks."""
    lines = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)


def markdown(table: Table) -> str:
    """Caption, pipe table, numbered notes, and what the columns mean."""
    body = []
    for block in table.blocks:
        if block.heading:
            body.append([f"*{block.heading}*", *[""] * (len(table.header) - 1)])
        for row in block.rows:
            marks = f" <sup>{row.notes}</sup>" if row.notes else ""
            body.append([row.title + marks, *map(markdown_cell, row.cells)])
    notes = [f"{number}. {note}" for number, note in enumerate(table.notes, 1)]
    texts = [f"- {text}" for text in table.texts]
    parts = [table.caption, grid(table.header, body), "\n".join(notes), "\n".join(texts)]
    return "\n\n".join(part for part in parts if part) + "\n"


def markdown_cell(cell: Cell) -> str:
    mean = f"**{cell.text}**" if cell.best else cell.text
    shown = " ".join(part for part in (mean + cell.mark, cell.interval, cell.rank) if part)
    return shown + (f"<br>paper {cell.paper}" if cell.paper else "")


LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#",
    "$": r"\$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "↑": r"$\uparrow$",
    "↓": r"$\downarrow$", "–": "--", "±": r"$\pm$", "τ": r"$\tau$", "<": r"$<$", ">": r"$>$",
    "→": r"$\rightarrow$", "≤": r"$\leq$", "·": r"$\cdot$", BETTER: r"$^{+}$", WORSE: r"$^{-}$",
}  # fmt: skip


def escape(text: str) -> str:
    """Text for LaTeX: special characters quoted, symbols in math; code marks are dropped."""
    return "".join(LATEX.get(letter, letter) for letter in text.replace("`", ""))


def latex(table: Table) -> str:
    """A booktabs table as wide as the page (packages booktabs and graphicx); intervals on a second line."""
    columns = len(table.header)
    lines = [" & ".join(escape(name) for name in table.header) + r" \\"]
    for block in table.blocks:
        lines.append(r"\midrule")
        if block.heading:
            lines.append(rf"\multicolumn{{{columns}}}{{l}}{{\emph{{{escape(block.heading)}}}}} \\")
        for row in block.rows:
            marks = f"$^{{{row.notes}}}$" if row.notes else ""
            lines.append(" & ".join([escape(row.title) + marks, *map(latex_cell, row.cells)]) + r" \\[3pt]")
    notes = [rf"$^{{{number}}}$ {escape(note)}" for number, note in enumerate(table.notes, 1)]
    return "\n".join([
        "% needs \\usepackage{booktabs,graphicx}",
        r"\begin{table*}", r"\centering",
        rf"\caption{{{escape(table.caption)}}}",
        r"\resizebox{\textwidth}{!}{%",
        rf"\begin{{tabular}}{{l{'c' * (columns - 1)}}}",
        r"\toprule", *lines, r"\bottomrule",
        r"\end{tabular}}",
        *([r"\\[2pt]\parbox{\textwidth}{\footnotesize " + r"\\ ".join(notes) + "}"] if notes else []),
        r"\end{table*}",
    ]) + "\n"  # fmt: skip


def latex_cell(cell: Cell) -> str:
    mean = rf"\textbf{{{escape(cell.text)}}}" if cell.best else escape(cell.text)
    first = mean + escape(cell.mark) + (rf" {{\scriptsize {escape(cell.rank)}}}" if cell.rank else "")
    below = [rf"{{\tiny {escape(cell.interval)}}}"] if cell.interval else []
    below += [rf"{{\tiny paper {escape(cell.paper)}}}"] if cell.paper else []
    return r"\shortstack{" + r"\\".join([first, *below]) + "}" if below else first
