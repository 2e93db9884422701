"""Texts in any script: each letter in a font that has it, and a script that no font has is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from eval.plots import fonts
from eval.plots.sheet import SIDES, Strip, compose
from eval.plots.style import save

CHINESE, HINDI, EMOJI = "戴帽的熊", "लाल भालू", "🐻🎩"
ARABIC, CYRILLIC = "دب أحمر", "красный медведь"  # matplotlib's own font has them


def write_font(path: Path, family: str, letters: str) -> None:
    """A font whose every letter is a full block, as wide as it is high."""
    pen = TTGlyphPen(None)
    for step, point in enumerate(((0, 0), (0, 1000), (1000, 1000), (1000, 0))):
        (pen.lineTo if step else pen.moveTo)(point)
    pen.closePath()
    block, builder = pen.glyph(), FontBuilder(1000)
    builder.setupGlyphOrder([".notdef", "block"])
    builder.setupCharacterMap({ord(letter): "block" for letter in letters})
    builder.setupGlyf({".notdef": block, "block": block})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), "block": (1000, 0)})
    builder.setupHorizontalHeader(ascent=1000, descent=0)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=1000, usWinAscent=1000, usWinDescent=0)
    builder.setupPost()
    builder.save(path)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine with fonts of Chinese and of emoji besides matplotlib's, installed after it listed them."""
    write_font(tmp_path / "bears.ttf", "Bears", CHINESE)
    write_font(tmp_path / "emoji.ttf", "Emoji", EMOJI)
    (tmp_path / "broken.ttf").write_text("no font")
    there = [str(path) for path in tmp_path.glob("*.ttf")]
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", lambda: there)
    own = [entry for entry in fontManager.ttflist if entry.fname.startswith(matplotlib.get_data_path())]
    monkeypatch.setattr(fontManager, "ttflist", own)
    for cached in (fonts.machine_fonts, fonts.warn):
        cached.cache_clear()
    yield tmp_path
    for cached in (fonts.machine_fonts, fonts.warn):
        cached.cache_clear()


@pytest.mark.parametrize(
    "text", [CHINESE, EMOJI, ARABIC, CYRILLIC, f"a bear {EMOJI} and {CHINESE}, {ARABIC}"]
)
def test_every_letter_is_drawn_in_a_font_that_has_it(
    text: str, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = fonts.pieces(text, 12)
    assert "".join(piece for _, piece in runs) == text and len(runs) <= 5
    for font, piece in runs:
        assert {ord(letter) for letter in piece} - {ord(" ")} <= fonts.letters_of(str(font.path))
    assert capsys.readouterr().err == ""


def test_a_text_in_several_scripts_is_on_the_sheet(machine: Path) -> None:
    """Blocks of the two letters, full letters high, of which the plots' own font draws none."""
    white = np.full((4, 8, 8, 3), 255, np.uint8)
    sheet = np.asarray(compose(["x"], [Strip(f"a {CHINESE[:2]}", [white])], SIDES).convert("L"))
    assert any((sheet[row : row + 10, column : column + 20] < 128).all()
               for row in range(20, sheet.shape[0] - 10) for column in range(60))  # fmt: skip


def test_a_figure_falls_back_on_the_same_fonts(machine: Path) -> None:
    figure = Figure(figsize=(1, 1))
    text = figure.text(0, 0.5, f"a bear {EMOJI}")
    save(figure, machine / "figure.png")
    assert text.get_fontfamily()[-1] == "Emoji"


def test_a_script_that_no_font_has_is_named_once(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in (HINDI, HINDI, "𓂀", "☃️ a snowman"):
        fonts.pieces(text, 12)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and "DEVANAGARI" in said[0] and "EGYPTIAN" in said[1]
    assert all(line.startswith("note: no font here has") for line in said)


def test_boxes_that_stand_for_letters_are_no_font(machine: Path) -> None:
    """matplotlib comes with a font that has every letter, as a box."""
    assert any(entry.name.startswith(fonts.LAST) for entry in fontManager.ttflist)
    assert not any(entry.name.startswith(fonts.LAST) for entry in fonts.chain(HINDI + CHINESE))
