r"""The picture grid of an ablation: variants in rows, prompts in columns, two sides of each asset.

    python -m eval.plots.grid --results results/mini --table results/mini/tables/ablation_n.csv \
        --prompts prompts/toybox.tsv --prompt-ids p01 p03 p06 --out grid.png

Beside each row stand its guidance and its numbers: errors of detail, detail, over-exposure and Janus.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..ablation import ablation_columns, guidance_texts, read_table
from ..prompt_table import read_prompts
from ..tables.formats import NOTHING, minus
from .sheet import Strip, compose, pick

if TYPE_CHECKING:
    from PIL.Image import Image

SIDES = {"front": 0.0, "back right": 0.375}  # the second shows a face where none belongs
BESIDE = ("detail_error", "detail", "over_exposure", "janus")


def picture_grid(results: Path, table: pd.DataFrame, prompts: dict[str, str], seed: int) -> Image:
    """One row for each variant of an ablation's table and the true scene; prompts: id -> text."""
    rows, guidance = [], guidance_texts(table)
    for name, group in table[table["variant"] != "start"].groupby("variant", sort=False):
        folder = results / "views" / str(name)
        pictures = [
            pick(folder / prompt / str(seed) / "views.zip", list(SIDES.values())) for prompt in prompts
        ]
        told = [text for text in (guidance[str(name)],) if text != NOTHING]
        rows.append(
            Strip("\n".join([" ".join(group["label"].iloc[0].split()), *told, *numbers(group)]), pictures)
        )
    return compose([f"{name}: {text}\n({', '.join(SIDES)})" for name, text in prompts.items()], rows)


def numbers(group: pd.DataFrame) -> list[str]:
    """A line for each metric of BESIDE that this variant has."""
    levels, known = group.set_index("metric")["level"].dropna(), ablation_columns()
    shown = [metric for metric in BESIDE if metric in levels]
    return [minus(f"{known[m]['name']} {levels[m]:.{known[m]['digits']}f}") for m in shown]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Draw the picture grid of an ablation.")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True, help="the CSV of eval.ablation")
    parser.add_argument("--prompts", type=Path, required=True, help="the prompt table (TSV)")
    parser.add_argument("--prompt-ids", nargs="+", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    try:
        texts = read_prompts(args.prompts).set_index("id")["prompt"]
        prompts = {name: texts[name] for name in args.prompt_ids}
        sheet = picture_grid(args.results, read_table(args.table), prompts, args.seed)
    except KeyError as error:
        sys.exit(f"error: {args.prompts} has no prompt {error}")
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(args.out)


if __name__ == "__main__":
    main()
