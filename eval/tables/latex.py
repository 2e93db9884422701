"""A table as LaTeX, and any text as LaTeX that compiles: accents, symbols, and what no font there has."""

from __future__ import annotations

import re
import unicodedata

from .formats import BETTER, WORSE, Cell, Table, minus

# Brackets and asterisks are grouped, since after \\ they would be its options.
SIGNS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#",
    "$": r"\$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "|": r"\textbar{}", "<": "$<$",
    ">": "$>$", "[": "{[}", "]": "{]}", "*": "{*}", '"': r"\textquotedblright{}", "\N{NO-BREAK SPACE}": "~",
    "\N{NARROW NO-BREAK SPACE}": r"\,", "\N{SOFT HYPHEN}": r"\-", "–": "--", "—": "---", "‑": "-", "‐": "-",
    "−": "$-$", "‘": r"\textquoteleft{}", "’": "'", "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}", "…": r"\ldots{}", "•": r"\textbullet{}", "§": r"\S{}", "¶": r"\P{}",
    "©": r"\copyright{}", "£": r"\pounds{}", "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}",
    "œ": r"\oe{}", "Œ": r"\OE{}",
    "ø": r"\o{}", "Ø": r"\O{}", "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}", "¡": "!`", "¿": "?`",
    "°": r"$^{\circ}$", BETTER: "$^{+}$", WORSE: "$^{-}$",
}  # fmt: skip
MATH = {
    "≤": "leq", "≥": "geq", "≠": "neq", "≈": "approx", "≡": "equiv", "∼": "sim", "≪": "ll", "≫": "gg",
    "∝": "propto", "±": "pm", "∓": "mp", "×": "times", "÷": "div", "·": "cdot", "∘": "circ",
    "∞": "infty", "∅": "emptyset", "∈": "in", "∉": "notin", "⊂": "subset", "⊆": "subseteq", "∪": "cup",
    "∩": "cap", "∀": "forall", "∃": "exists", "¬": "neg", "∧": "wedge", "∨": "vee", "∑": "sum", "∏": "prod",
    "∫": "int", "√": "surd", "∂": "partial", "∇": "nabla", "←": "leftarrow", "→": "rightarrow",
    "↑": "uparrow", "↓": "downarrow", "↔": "leftrightarrow", "⇒": "Rightarrow", "⇐": "Leftarrow",
    "⇔": "Leftrightarrow", "↦": "mapsto", "′": "prime", "ℓ": "ell", "µ": "mu", "★": "star", "△": "triangle",
    "▴": "triangle", "▾": "triangledown",
}  # fmt: skip
SMALL = """alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon
phi chi psi omega varsigma"""
CAPITAL = "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
MATH |= dict(zip("αβγδεζηθικλμνξπρστυφχψως", SMALL.split(), strict=True))
MATH |= dict(zip("ΓΔΘΛΞΠΣΥΦΨΩ", CAPITAL.split(), strict=True))
SIGNS |= dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧο", "ABEZHIKMNOPTXo", strict=True))
# Combining signs that stand over or under a letter, as LaTeX's commands.
ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0323": "d", "\u0327": "c", "\u0331": "b",
}  # fmt: skip


def escape(text: str) -> str:
    """Text for LaTeX, in ASCII: special characters quoted, symbols in math; code marks are dropped.

    A letter that LaTeX's fonts lack is spelled in ASCII where Unicode knows how, else by its number, U+4E2D.
    """
    text = unicodedata.normalize("NFC", minus(text.replace("`", "")))
    line = re.sub(r"[^\S\u00a0\u202f]+", " ", text).strip(" ")
    pieces = [sign(letter) for letter in line]
    for place in range(1, len(pieces)):
        if pieces[place - 1] == pieces[place] == "-":  # two would join to a dash
            pieces[place - 1] = "-{}"
    return "".join(pieces)


def sign(letter: str) -> str:
    """One character as LaTeX."""
    if letter in SIGNS:
        return SIGNS[letter]
    if letter in MATH:
        return f"$\\{MATH[letter]}$"
    if " " <= letter <= "~":
        return letter
    if unicodedata.category(letter) in ("Cc", "Cf", "Mn"):
        return ""
    return accented(letter) or spelled(letter)


def accented(letter: str) -> str:
    r"""A Latin letter with one accent, e.g. \'{e}, else nothing."""
    parts = unicodedata.normalize("NFD", letter)
    base, accent = parts[0], ACCENTS.get(parts[1:], "")
    if not accent or not (base.isascii() and base.isalpha()):
        return ""
    return f"\\{accent}{{{chr(92) + base if base in 'ij' and accent not in 'dcb' else base}}}"


def spelled(letter: str) -> str:
    """What Unicode takes a sign apart into, if that is ASCII (raised or lowered alike), else its number."""
    parts = unicodedata.normalize("NFKD", letter).replace("\N{FRACTION SLASH}", "/")
    if not (parts.isascii() and parts.isprintable()):
        return f"{{[}}U+{ord(letter):04X}{{]}}"
    inner = "".join(SIGNS.get(part, part) for part in parts)
    kind = unicodedata.decomposition(letter).partition(" ")[0]
    return {"<super>": f"$^{{{inner}}}$", "<sub>": f"$_{{{inner}}}$"}.get(kind, inner)


def latex(table: Table) -> str:
    """A booktabs table as wide as the page (packages booktabs and graphicx); intervals on a second line.

    LaTeX numbers it, so the title is left out.
    """
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
    first = mean + escape(cell.mark) + (rf" {{\scriptsize {escape(cell.letters)}}}" if cell.letters else "")
    below = [rf"{{\tiny {escape(cell.interval)}}}"] if cell.interval else []
    below += [rf"{{\tiny paper {escape(cell.paper)}}}"] if cell.paper else []
    return r"\shortstack{" + r"\\".join([first, *below]) + "}" if below else first
