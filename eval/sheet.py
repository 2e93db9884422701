"""The contact sheet: prompts in rows, methods in columns, four sides of each asset.

    python -m eval.sheet --results results/mini --prompts prompts/toybox.tsv --methods start sds sctd \\
        --out sheet.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from eval.archive import composite, read_views
from eval.prompts import read_prompts

SIDES, GAP, TILE = 4, 8, 96
LEFT, TOP = 190, 26


def draw(args: argparse.Namespace) -> None:
    """Compose the sheet with labels."""
    from PIL import Image, ImageDraw, ImageFont

    prompts = read_prompts(args.prompts)
    width = LEFT + len(args.methods) * (SIDES * TILE + GAP)
    sheet = Image.new("RGB", (width, TOP + len(prompts) * (TILE + GAP)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for column, method in enumerate(args.methods):
        x = LEFT + column * (SIDES * TILE + GAP)
        pen.text((x + 4, 5), f"{method}: front, right, back, left", fill="black", font=font)
        for row, name in enumerate(prompts["id"]):
            views = read_views(args.results / "views" / method / name / str(args.seed) / "views.zip")
            sides = composite(views[np.arange(SIDES) * len(views) // SIDES])
            for i, side in enumerate(sides):
                tile = Image.fromarray(side).resize((TILE, TILE), Image.Resampling.BICUBIC)
                sheet.paste(tile, (x + i * TILE, TOP + row * (TILE + GAP)))
    for row, (name, text) in enumerate(zip(prompts["id"], prompts["prompt"], strict=True)):
        pen.text((4, TOP + row * (TILE + GAP) + 30), wrap(f"{name}: {text}"), fill="black", font=font)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(args.out)


def wrap(text: str, width: int = 26) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, width))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Draw the contact sheet of a run.")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--prompts", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    try:
        draw(args)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
