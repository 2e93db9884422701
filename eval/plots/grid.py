r"""The picture grid of an ablation: variants in rows, prompts in columns, two sides of each asset.

    python -m eval.plots.grid --results results/mini --table results/mini/tables/ablation_n.csv \
        --prompts prompts/toybox.tsv --prompt-ids p01 p03 p06 --out grid.png

Beside each row stand its guidance and its numbers: errors of detail, detail, over-exposure and Janus.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pandas as pd

from segmentdreamer.command import Program, Results, inputs, outputs

from ..ablation import ablation_columns, guidance_texts, read_table
from ..prompt_table import read_prompts
from ..run import path_of
from ..tables.formats import NOTHING, minus
from .sheet import Strip, compose, pick, save

if TYPE_CHECKING:
    from PIL.Image import Image

SIDES = {"front": 0.0, "back right": 0.375}  # the second shows a face where none belongs
BESIDE = ("detail_error", "detail", "over_exposure", "janus")


def picture_grid(results: Path, table: pd.DataFrame, prompts: dict[str, str], seed: int) -> Image:
    """The rows as one picture, the prompts above; prompts: id -> text."""
    return compose([*prompts.values()], strips(results, table, prompts, seed), SIDES)


def strips(results: Path, table: pd.DataFrame, prompts: Iterable[str], seed: int) -> list[Strip]:
    """One row for each variant of an ablation's table and the true scene."""
    rows, guidance = [], guidance_texts(table)
    for name, group in table[table["variant"] != "start"].groupby("variant", sort=False):
        paths = [results / "views" / path_of(str(name), prompt, seed) / "views.zip" for prompt in prompts]
        pictures = [pick(path, SIDES.values()) for path in paths]
        told = [text for text in (guidance[str(name)],) if text != NOTHING]
        text = "\n".join([" ".join(group["label"].iloc[0].split()), *told, *numbers(group)])
        rows.append(Strip(text, pictures))
    return rows


def numbers(group: pd.DataFrame) -> list[str]:
    """A line for each metric of BESIDE that this variant has."""
    levels, known = group.set_index("metric")["level"].dropna(), ablation_columns()
    shown = [metric for metric in BESIDE if metric in levels]
    return [minus(f"{known[m]['name']} {levels[m]:.{known[m]['digits']}f}") for m in shown]


def draw(
    results: Results,
    table: Annotated[Path, inputs("the CSV of eval.ablation")],
    prompts: Annotated[Path, inputs("the prompt table (TSV)")],
    prompt_ids: Annotated[list[str], inputs("those shown", metavar="ID...")],
    out: Annotated[Path, outputs("picture")],
    seed: Annotated[int, inputs("of the assets")] = 0,
) -> None:
    """Draw the picture grid of an ablation."""
    texts = read_prompts(prompts).set_index("id")["prompt"]
    if missing := [name for name in prompt_ids if name not in texts]:
        raise ValueError(f"{prompts} has no prompt {', '.join(missing)}")
    save(picture_grid(results, read_table(table), {name: texts[name] for name in prompt_ids}, seed), out)


main = Program(draw)

if __name__ == "__main__":
    main()
