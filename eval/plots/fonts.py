"""Fonts for any script: the plots' own, and for letters that it lacks those of the machine that have them."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import category, name

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontEntry
    from PIL.ImageFont import FreeTypeFont

LAST = "Last Resort"  # a font of boxes, that has every letter
NEUTRAL = ("Cf", "Mn", "Zs")  # joiners, marks and spaces: drawn with the letter before them


def own_font() -> str:
    """The path of matplotlib's own font."""
    import matplotlib

    return str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf")


@cache
def machine_fonts() -> list[FontEntry]:
    """The fonts of this machine, plain ones first, also those installed since matplotlib listed them."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    known = {entry.fname for entry in fontManager.ttflist}
    for path in sorted({*findSystemFonts()} - known):
        try:
            fontManager.addfont(path)
        except (OSError, RuntimeError, NotImplementedError):  # no font, or one of pictures
            continue
    found = [entry for entry in fontManager.ttflist if not entry.name.startswith(LAST)]
    return sorted(found, key=lambda e: (e.weight not in (400, "normal"), e.style != "normal", e.fname))


@cache
def letters_of(path: str) -> frozenset[int]:
    """The code points that a font can draw; none of one that cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


def chain(text: str) -> list[FontEntry]:
    """The fonts that `text` needs besides the plots' own, those with most of its letters first."""
    lacking = {ord(letter) for letter in text if category(letter) not in NEUTRAL and letter.isprintable()}
    lacking -= letters_of(own_font())
    found: list[FontEntry] = []
    while lacking:
        best = max(machine_fonts(), key=lambda entry: len(lacking & letters_of(entry.fname)))
        if not lacking & letters_of(best.fname):
            break
        found.append(best)
        lacking -= letters_of(best.fname)
    for letter in sorted(lacking):
        warn(script(chr(letter)))
    return found


def script(letter: str) -> str:
    """What a letter belongs to, as Unicode names it: CJK, DEVANAGARI; emoji are symbols."""
    return "SYMBOL" if category(letter)[0] == "S" else name(letter, "PRIVATE").split()[0]


@cache
def warn(missing: str) -> None:
    """Say once that letters of a script are drawn as boxes."""
    packages = "fonts-noto-core, fonts-noto-cjk, fonts-symbola"
    print(f"note: no font here has some letters of the script {missing}, drawn as boxes: install one "
          f"(on Debian: {packages})", file=sys.stderr)  # fmt: skip


def pieces(text: str, size: int) -> list[tuple[FreeTypeFont, str]]:
    """A line of text as runs of one font each."""
    paths = [own_font(), *(entry.fname for entry in chain(text))]
    found: list[tuple[str, str]] = []
    for letter in text:
        has = [path for path in paths if ord(letter) in letters_of(path)]
        path = found[-1][0] if found and category(letter) in NEUTRAL else (has or paths)[0]
        if found and found[-1][0] == path:
            letter = found.pop()[1] + letter
        found.append((path, letter))
    return [(font(path, size), piece) for path, piece in found]


@cache
def font(path: str, size: int) -> FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.truetype(path, size)


def length(text: str, size: int) -> float:
    """How wide a line of text is, in pixels."""
    return sum(letters.getlength(piece) for letters, piece in pieces(text, size))


def set_fonts(figure: Figure) -> None:
    """Let each text of a figure fall back on the fonts that its letters need."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if isinstance(text, Text) and (names := [entry.name for entry in chain(text.get_text())]):
            text.set_fontfamily([*text.get_fontfamily(), *names])
