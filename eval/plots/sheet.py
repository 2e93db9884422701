r"""The contact sheet: prompts in rows, methods in columns, four sides of each asset.

python -m eval.plots.sheet --results results/mini --prompts prompts/toybox.tsv --methods start sds sctd \
        --titles baselines/methods.yaml --out sheet.png
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np

from segmentdreamer.command import Program, Results, Titles, inputs, outputs

from ..guidance import Guidance, tell_each
from ..metrics import control_title, read_titles
from ..prompt_table import read_prompts
from ..run import guidance_of, path_of
from ..tables.formats import NOTHING
from ..views.archive import composite, read_views
from .style import font

if TYPE_CHECKING:
    from PIL.Image import Image

GAP, TILE = 8, 96
LEFT, TOP, LINE = 190, 26, 15
SIDES = {"front": 0.0, "right": 0.25, "back": 0.5, "left": 0.75}  # as a share of the orbit


@dataclass(frozen=True)
class Strip:
    """A row of a sheet: its text, and for each column the views to show side by side."""

    text: str
    pictures: list[np.ndarray]  # (sides, H, W, 3) uint8


def pick(path: Path, turns: Collection[float]) -> np.ndarray:
    """The views at these shares of the orbit, over white: (len(turns), H, W, 3)."""
    views = read_views(path)
    return composite(views[[round(turn * len(views)) % len(views) for turn in turns]])


def compose(header: list[str], rows: list[Strip]) -> Image:
    """A labeled sheet: `header` over the columns, each row's text at its left.

    Every column is as wide as its views in the first row; a text that is too long is wrapped.
    """
    from PIL import Image, ImageDraw

    letters = font(12)
    widths = [len(picture) * TILE for picture in rows[0].pictures]
    starts = LEFT + np.concatenate([[0], np.cumsum(np.array(widths) + GAP)])
    titles = [wrap(text, width // 7) for text, width in zip(header, widths, strict=True)]
    top = TOP + LINE * max(title.count("\n") for title in titles)
    sheet = Image.new("RGB", (int(starts[-1]), top + len(rows) * (TILE + GAP)), "white")
    pen = ImageDraw.Draw(sheet)
    for x, title in zip(starts, titles, strict=False):
        pen.text((x + 4, 5), title, fill="black", font=letters)
    for i, row in enumerate(rows):
        y, text = top + i * (TILE + GAP), wrap(row.text, LEFT // 7)
        margin = max(0, (TILE - LINE * (text.count("\n") + 1)) // 2)
        pen.text((4, y + margin), text, fill="black", font=letters)
        for x, picture in zip(starts, row.pictures, strict=False):
            for side, view in enumerate(picture):
                tile = Image.fromarray(view).resize((TILE, TILE), Image.Resampling.BICUBIC)
                sheet.paste(tile, (int(x) + side * TILE, y))
    return sheet


def wrap(text: str, width: int) -> str:
    """Each line of the text broken at `width` characters."""
    return "\n".join("\n".join(textwrap.wrap(line, width)) for line in text.splitlines())


def contact_sheet(
    results: Path, prompts: Path, methods: list[str], seed: int, titles: dict[str, str]
) -> Image:
    """Each prompt's assets of one seed, a column a method; titles: method -> title."""
    table, rows = read_prompts(prompts), []
    for name, text in zip(table["id"], table["prompt"], strict=True):
        paths = [results / "views" / path_of(method, name, seed) / "views.zip" for method in methods]
        pictures = [pick(path, SIDES.values()) for path in paths]
        rows.append(Strip(f"{name}: {text}", pictures))
    guidance = {method: guidance_of(results, method, table["id"], [seed]) for method in methods}
    return compose(headings(guidance, titles), rows)


def headings(guidance: dict[str, Guidance], titles: dict[str, str]) -> list[str]:
    """What stands above each method's column: its title, its guidance where known, and the sides shown."""
    told = {method: "" if text == NOTHING else f", {text}" for method, text in tell_each(guidance).items()}
    return [f"{titles.get(m) or control_title(m)}{told[m]}\n{', '.join(SIDES)}" for m in guidance]


def draw(
    results: Results,
    prompts: Annotated[Path, inputs("the prompt table (TSV)")],
    methods: Annotated[list[str], inputs("columns", metavar="NAME...")],
    out: Annotated[Path, outputs("picture")],
    seed: Annotated[int, inputs("of the assets")] = 0,
    titles: Titles = None,
) -> None:
    """Draw the contact sheet of a run."""
    out.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(results, prompts, methods, seed, read_titles(titles)).save(out)


main = Program(draw)

if __name__ == "__main__":
    main()
