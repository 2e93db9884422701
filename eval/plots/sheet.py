r"""The contact sheet: prompts in rows, methods in columns, four sides of each asset.

python -m eval.plots.sheet --results results/mini --prompts prompts/toybox.tsv --methods start sds sctd \
        --titles baselines/methods.yaml --out sheet.png
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np

from segmentdreamer.command import Program, Results, Titles, inputs, outputs
from segmentdreamer.records import replacing

from ..guidance import Guidance, tell_each
from ..metrics import control_title, read_titles
from ..prompt_table import read_prompts
from ..run import guidance_of, path_of
from ..tables.formats import NOTHING
from ..views.archive import composite, views_or_reason
from .fonts import length, pieces

if TYPE_CHECKING:
    from PIL.Image import Image

TILE, GAP, BETWEEN, SIDE_GAP = 72, 8, 20, 3  # pixels: a view, between rows, columns, and sides of one asset
PAGE, LETTER = 850, 10.5  # a reader's page, and how high letters shall be on it
SMALL, FAILED = 12, "#e8e8e8"  # letters of a reason, and the tile that they stand on
TEXT = 10  # letters' heights that the texts at the left are wide
WIDER = 1.25  # times its pictures that a column may be for a long word
AGAIN = 10  # rows after which the titles are repeated
MOST = 32  # pictures beside each other that can be told apart on a page
SIDES = {"front": 0.0, "right": 0.25, "back": 0.5, "left": 0.75}  # as a share of the orbit


@dataclass(frozen=True)
class Strip:
    """A row of a sheet: its text, and for each column the views to show side by side."""

    text: str
    pictures: list[np.ndarray | str]  # (sides, H, W, 3) uint8, or why there are none


def pick(path: Path, turns: Collection[float]) -> np.ndarray | str:
    """The views at these shares of the orbit, over white: (len(turns), H, W, 3); or why there are none."""
    views = views_or_reason(path)
    if isinstance(views, str):
        return f"failed: {views}"
    return composite(views[[round(turn * len(views)) % len(views) for turn in turns]])


def compose(header: list[str], rows: list[Strip], sides: Collection[str]) -> Image:
    """A labeled sheet: `header` over the columns, each row's text at its left, `sides` above these.

    Letters are so large that they can be read when the sheet is as wide as a page; texts that are too long
    are wrapped, and titles come again every few rows. Where an asset has no pictures its tile says why.
    More columns than MOST pictures come as blocks below each other, all rows in each.
    """
    from PIL import Image

    columns = max(len(header), 1)
    many = math.ceil(columns / math.ceil(columns * len(sides) / MOST))
    size = letters_of(many, sides)
    cuts = [slice(start, start + many) for start in range(0, columns, many)]
    parts = [
        block(header[cut], [Strip(row.text, row.pictures[cut]) for row in rows], sides, size) for cut in cuts
    ]
    if len(parts) == 1:
        return parts[0]
    tops = [sum(part.height + 2 * BETWEEN for part in parts[:i]) for i in range(len(parts))]
    sheet = Image.new("RGB", (max(part.width for part in parts), tops[-1] + parts[-1].height), "white")
    for part, top in zip(parts, tops, strict=True):
        sheet.paste(part, (0, top))
    return sheet


def wide_of(sides: Collection[str]) -> int:
    """The pictures of one asset side by side, in pixels."""
    return len(sides) * (TILE + SIDE_GAP) - SIDE_GAP


def letters_of(columns: int, sides: Collection[str]) -> int:
    """The letters' height that is LETTER when so many columns are as wide as a page, in pixels."""
    body = columns * (wide_of(sides) + BETWEEN)
    return max(12, math.ceil(body * LETTER / (PAGE - TEXT * LETTER)))


def block(header: list[str], rows: list[Strip], sides: Collection[str], size: int) -> Image:
    """Columns beside each other, in letters of this height."""
    from PIL import Image, ImageDraw

    corner, wide = ", ".join(sides), wide_of(sides)
    left = TEXT * size
    words = [max((length(word, size) for word in title.split()), default=0) for title in header]
    widths = [math.ceil(min(max(wide, word), WIDER * wide)) for word in words]
    starts = left + np.concatenate([[0], np.cumsum(np.array(widths) + BETWEEN)])
    titles = [wrap(text, width, size) for text, width in zip([corner, *header], [left, *widths], strict=True)]
    texts = [wrap(row.text, left - size, size) for row in rows]
    heights = [max(TILE, height_of(text, size)) + GAP for text in texts]
    top = max(height_of(title, size) for title in titles) + GAP
    places = [sum(heights[:i]) + top * (1 + i // AGAIN) for i in range(len(rows))]
    sheet = Image.new("RGB", (int(starts[-1]) - BETWEEN, places[-1] + heights[-1]), "white")
    pen = ImageDraw.Draw(sheet)

    def write(x: float, y: float, text: str, size: int = size) -> None:
        for number, line in enumerate(text.splitlines()):
            at, baseline = x, y + size + number * height_of("", size)
            for letters, piece in pieces(line, size):
                pen.text((at, baseline), piece, fill="black", font=letters, anchor="ls")
                at += letters.getlength(piece)

    for i, (row, y) in enumerate(zip(rows, places, strict=True)):
        if i % AGAIN == 0:
            for x, title in zip([4, *starts], titles, strict=False):
                write(x, y - top + 2, title)
        write(4, y + (heights[i] - GAP - height_of(texts[i], size)) / 2, texts[i])
        for x, picture in zip(starts, row.pictures, strict=False):
            top_of_tile = y + (heights[i] - GAP - TILE) // 2
            if isinstance(picture, str):
                pen.rectangle((x, top_of_tile, x + wide - 1, top_of_tile + TILE - 1), fill=FAILED)
                write(x + 4, top_of_tile + 2, shorten(picture, wide - 8, SMALL, TILE - 4), SMALL)
                continue
            for side, view in enumerate(picture):
                tile = Image.fromarray(view).resize((TILE, TILE), Image.Resampling.LANCZOS)
                sheet.paste(tile, (int(x) + side * (TILE + SIDE_GAP), top_of_tile))
    return sheet


def height_of(text: str, size: int) -> int:
    """Of a text with line breaks, in pixels."""
    return (text.count("\n") + 1) * (size + size // 4 + 2)


def shorten(text: str, width: float, size: int, height: int) -> str:
    """A text wrapped, its last lines left out where it would be higher than so many pixels."""
    lines = wrap(text, width, size).splitlines()
    fit = max(n for n in range(1, len(lines) + 1) if n == 1 or height_of("\n" * (n - 1), size) <= height)
    return "\n".join(lines[:fit]) + ("…" if fit < len(lines) else "")


def wrap(text: str, width: float, size: int) -> str:
    """Each line of the text broken where it would be wider than `width` pixels, a long word within."""
    lines: list[str] = []
    for line in text.splitlines():
        lines.append("")
        for word in line.split():
            longer = f"{lines[-1]} {word}".strip()
            if length(longer, size) <= width:
                lines[-1] = longer
                continue
            lines += [word] if lines[-1] else []
            lines[-1] = word
            while length(lines[-1], size) > width and len(lines[-1]) > 1:
                fits = max(
                    n for n in range(1, len(lines[-1])) if n == 1 or length(lines[-1][:n], size) <= width
                )
                lines[-1:] = [lines[-1][:fits], lines[-1][fits:]]
    return "\n".join(lines)


def contact_sheet(
    results: Path, prompts: Path, methods: list[str], seed: int, titles: dict[str, str]
) -> Image:
    """Each prompt's assets of one seed, a column a method; titles: method -> title."""
    table, rows = read_prompts(prompts), []
    for name, text in zip(table["id"], table["prompt"], strict=True):
        paths = [results / "views" / path_of(method, name, seed) / "views.zip" for method in methods]
        pictures = [pick(path, SIDES.values()) for path in paths]
        rows.append(Strip(text, pictures))
    guidance = {method: guidance_of(results, method, table["id"], [seed]) for method in methods}
    return compose(headings(guidance, titles), rows, SIDES)


def headings(guidance: dict[str, Guidance], titles: dict[str, str]) -> list[str]:
    """What stands above each method's column: its title, and its guidance where known."""
    told = {method: "" if text == NOTHING else f", {text}" for method, text in tell_each(guidance).items()}
    return [f"{titles.get(m) or control_title(m)}{told[m]}" for m in guidance]


def draw(
    results: Results,
    prompts: Annotated[Path, inputs("the prompt table (TSV)")],
    methods: Annotated[list[str], inputs("columns", metavar="NAME...")],
    out: Annotated[Path, outputs("picture")],
    seed: Annotated[int, inputs("of the assets")] = 0,
    titles: Titles = None,
) -> None:
    """Draw the contact sheet of a run."""
    save(contact_sheet(results, prompts, methods, seed, read_titles(titles)), out)


def save(picture: Image, out: Path) -> None:
    """Write a picture atomically, as PNG."""
    with replacing(out) as partial:
        picture.save(partial, "PNG", optimize=True)


main = Program(draw)

if __name__ == "__main__":
    main()
