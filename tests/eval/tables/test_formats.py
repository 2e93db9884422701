"""Markdown, HTML and LaTeX of a table: whatever text it holds reads as it was written and breaks nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eval.tables.formats import BETTER, Block, Cell, Marked, Row, Table, grid, markdown, minus, quote
from eval.tables.latex import SIGNS, escape, latex
from eval.tables.page import page

HOSTILE = (
    '[x] p ≥ .05, p <= 1e-05 × ω → ∅ – “q” ‘a’ "b" é ż ﬁ ½ m² 中 😀 a\u00a0b a--b -.5 '
    "_a_ *b* `c` <d>|e~f~ {g} \\h %&#$^ [i](j) &amp; \n 2nd line \t\x00\u200b"
)
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)


def table_of(text: str) -> Table:
    """The text everywhere that a table has any."""
    cells = [Cell(), Cell(1, "-1.0", "[-2.0, -0.5]", BETTER, "ab", "-3", True, text), Cell(text=text)]
    rows = [Row(text, cells, "1"), Row(f"[2pt]{text}", cells), Row(f"*{text}", cells)]
    blocks = [Block("", rows), Block(text, rows)]
    return Table("Table 1", text, ["Method", text, "KID_pp ↓", "A [%]"], blocks, [text, "[x]"], [text])


# LaTeX ----------------------------------------------------------------------------------------------------

WORDS = {
    "begin", "end", "centering", "caption", "resizebox", "textwidth", "toprule", "midrule", "bottomrule",
    "multicolumn", "emph", "textbf", "shortstack", "scriptsize", "tiny", "parbox", "footnotesize",
}  # fmt: skip
TOKEN = re.compile(r"\\\\(?:\[\d+pt\])?|\\[A-Za-z]+|\\.|.", re.S)


def check_latex(text: str) -> None:
    """That LaTeX can read it: ASCII, balanced, nothing special bare, no row end that takes options."""
    assert text.isascii() and "\n\n" not in text
    known = WORDS | {
        word
        for sign in {escape(c) for c in map(chr, range(0x2600))}
        for word in re.findall(r"\\([A-Za-z]+)", sign)
    }
    depth, math, tabular, ended = 0, False, False, False
    body = re.sub(r"(?<!\\)%[^\n]*\n", "\n", text)
    for number, token in enumerate(tokens := TOKEN.findall(body)):
        if ended and not token.isspace():
            assert token not in "[*", f"a row end takes {''.join(tokens[number : number + 9])!r} as option"
        ended = token.startswith(r"\\") or (ended and token.isspace())
        assert not (token.startswith("\\") and token[1:].isalpha() and len(token) > 2) or token[1:] in known
        following = "".join(tokens[number + 1 : number + 10])
        tabular ^= token in (r"\begin", r"\end") and following == "{tabular}"
        if token == "{":
            depth += 1
        elif token == "}":
            depth -= 1
            assert depth >= 0
        elif token == "$":
            assert math or tokens[number + 1] != "$"
            math = not math
        elif token in ("^", "_"):
            assert math
        elif token == "&":
            assert tabular and depth == 1 and not math  # \resizebox holds one brace
        else:
            assert token not in ("#", "%")
    assert depth == 0 and not math and not tabular


def rows_of(text: str) -> list[str]:
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    return [line for line in body.splitlines() if line.endswith((r"\\", r"\\[3pt]"))]


def test_latex_of_hostile_text_can_be_read_and_has_all_its_cells() -> None:
    text = latex(table_of(HOSTILE))
    check_latex(text)
    whole = [row for row in rows_of(text) if r"\multicolumn" not in row]
    assert len(whole) == 7 and {len(re.findall(r"(?<!\\)&", row)) for row in whole} == {3}
    with pytest.raises(AssertionError, match="as option"):
        check_latex("\\\\\n[x]\n")


@settings(deadline=None, max_examples=60)
@given(TEXT)
@example("$")
@example("[")
@example("\\")
def test_latex_of_any_text_can_be_read(text: str) -> None:
    check_latex(latex(table_of(text)))


def test_latex_spells_what_it_has_signs_for_and_numbers_what_it_has_not() -> None:
    assert escape("50 % of #1 {a}_b") == r"50 \% of \#1 \{a\}\_b"
    assert escape("p ≥ .05 × ω → ∅") == r"p $\geq$ .05 $\times$ $\omega$ $\rightarrow$ $\emptyset$"
    assert escape("Café, Łódź, e\u0301, m², ½") == r"Caf\'{e}, \L{}\'{o}d\'{z}, \'{e}, m$^{2}$, 1/2"
    assert escape("–—…\u00a0“a”") == r"-----\ldots{}~\textquotedblleft{}a\textquotedblright{}"
    assert escape("--set a---b") == "-{}-set a-{}-{}-b"
    assert escape("中") == "{[}U+4E2D{]}" and escape("a\u200bb\x07") == "ab"
    assert escape("-1.5 to −2, 3-4, 1e-05") == "$-$1.5 to $-$2, 3-4, 1e$-$05"


def test_latex_numbers_the_table_itself_so_that_its_caption_does_not() -> None:
    table = Table("Table 1", "Scale mini: 6 prompts.", ["Method"], [Block("", [Row("SDS", [])])])
    assert r"\caption{Scale mini: 6 prompts.}" in latex(table) and "Table 1" not in latex(table)
    assert markdown(table).startswith("**Table 1.** Scale mini: 6 prompts.\n")


def test_every_ascii_character_survives_latex() -> None:
    for code in range(33, 127):
        if (letter := chr(code)) != "`":  # code marks are dropped
            assert escape(letter) and (letter in SIGNS or escape(letter) == letter)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path: Path) -> None:
    found = subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True, check=False)
    if not found.stdout:
        pytest.skip("the package booktabs is not installed")
    every = "".join(map(chr, range(0x20, 0x2600)))
    for number, text in enumerate((HOSTILE, every)):
        (tmp_path / f"t{number}.tex").write_text(
            "\\documentclass{article}\\usepackage{booktabs,graphicx}\\begin{document}\n"
            + latex(table_of(text))
            + "\\end{document}\n"
        )
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"t{number}.tex"]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        assert ran.returncode == 0, ran.stdout[-2000:]


# Markdown -------------------------------------------------------------------------------------------------


def rendered(text: str) -> tuple[list[str], str]:
    """The cells of a page's table and its whole text, as a reader of the rendered page sees them."""
    parser = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable(["table", "strikethrough"])
    cells: list[str] = []
    for token in (tokens := parser.parse(text)):
        if token.type == "inline":
            cells.append("".join(child.content for child in token.children if child.type != "softbreak"))
            kinds = {child.type for child in token.children}
            assert kinds <= {"text", "softbreak", "strong_open", "strong_close", "em_open", "em_close",
                             "html_inline", "text_special"}  # fmt: skip
    return cells, " ".join(token.type for token in tokens)


def shown(text: str) -> str:
    return minus(" ".join(text.split()))


@settings(deadline=None, max_examples=100)
@given(TEXT, TEXT)
@example(HOSTILE.replace("\x00", ""), "|")
def test_markdown_cells_read_as_they_were_written(title: str, cell: str) -> None:
    cells, _ = rendered(grid(["Method", title], [["x" + cell, "1"]]))
    assert [text.strip() for text in cells] == ["Method", shown(title), shown("x" + cell).strip(), "1"]


def test_markdown_of_hostile_text_keeps_its_rows_and_marks() -> None:
    text = markdown(table_of(HOSTILE))
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(table) == 2 + 3 + 1 + 3
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {5}
    assert "| **−1.0**▲ [−2.0, −0.5] ab<br>paper −3 |" in text and " <sup>1</sup> |" in text
    assert "<d>" not in text.replace("\\<", "").replace("\\>", "")


def test_text_that_is_markdown_already_is_left_alone() -> None:
    assert grid(["a_b"], [[Marked("**x**<br>y")]]) == "| a\\_b |\n| --- |\n| **x**<br>y |"
    assert quote(quote("*")) == "\\*"


# HTML and numbers -----------------------------------------------------------------------------------------


def elements(html: str) -> set[str]:
    seen: set[str] = set()
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: seen.add(tag)
    parser.feed(html)
    return seen


@given(TEXT)
@example(HOSTILE)
def test_html_holds_no_element_that_its_text_made(text: str) -> None:
    html = page(table_of(text), [])
    assert elements(html) <= elements(page(table_of("a"), [])) | {"sup"} and "−1.0" in html


def test_negative_numbers_have_a_minus_and_words_keep_their_hyphens() -> None:
    assert minus("-0.56 [-1, -.5] (-2) a-b 3-4 x=-1 p-01 1e-05 toybox-clip -x") == (
        "−0.56 [−1, −.5] (−2) a-b 3-4 x=−1 p-01 1e−05 toybox-clip -x"
    )
