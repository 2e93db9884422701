"""Score views: a row for each view and metric, the features for FID, and the protocol that was followed.

    python -m eval.score FOLDER --prompts FILE              anyone's views, without Snakemake
    python -m eval.score FOLDER --row RUN                   the same as a row of a finished run's table
    python -m eval.score --views views.zip --prompt-id p01 --out OUT --prompts FILE

FOLDER holds a folder a prompt, named by the prompt's id or its text, with rgb_000.png, rgb_001.png, ...
(RGBA, or RGB with alpha_*.png beside, or plain RGB), views.zip, or folders of these by seed; or it is laid
out as T3Bench's, GPTEval3D's or nerfbaselines' (views/layouts.py). The views go once around the object in
even steps, in the order of their numbers, unless cameras or --arc say otherwise.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
from typer import Argument

from segmentdreamer.command import (
    BadUsage,
    Device,
    Profile,
    Program,
    Threads,
    check_threads,
    find_device,
    inputs,
    option,
    outputs,
    settings,
    several,
)
from segmentdreamer.recipe.attempts import planned

from .prompt_table import read_texts
from .scales import scorers_of
from .scores.asset import VIEW_WORDS
from .scores.scorers import load_models, prepare, score_archive
from .views.remarks import Setting

scorers = partial(option, "Scorers (default: the scale's)")


def check_usage(
    folder: Path | None,
    views: list[Path] | None,
    prompt_id: list[str] | None,
    out: list[Path] | None,
    arc: float | None,
    row: Path | None = None,
    prompts: Path | None = None,
    scorers_named: bool = True,
) -> None:
    """BadUsage where the arguments do not fit together."""
    if arc is not None and not 0 < arc <= 360:
        raise BadUsage("--arc is a number of degrees, above 0 and at most 360")
    if (folder is None) == (not views):
        raise BadUsage("give either FOLDER or --views")
    if (prompts is None) == (row is None) or (row and not folder):
        raise BadUsage("give --prompts, or with FOLDER --row, whose run has prompts and scorers of its own")
    if views and not scorers_named:
        raise BadUsage("with --views name the scorers: --scale, or --clip and --clip-weights at least")
    if views and not len(views) == len(prompt_id or []) == len(out or []):
        raise BadUsage("--views, --prompt-id and --out need as many values as there are assets")


def choose(scale: str | None, named: dict[str, Any]) -> dict[str, Any]:
    """The scorers of a scale, and the size of its views, with those that are named in their place."""
    chosen = {"view_words": VIEW_WORDS, "size": None} | (scorers_of(scale) if scale else {})
    return chosen | {name: value for name, value in named.items() if value}


def prepare_machine(device: str | None, threads: int) -> str:
    """The device, once torch has its threads; ValueError for what this machine has not."""
    check_threads(threads)
    torch.set_num_threads(threads)
    return find_device(device)


Words = list[str] | None
Files = list[Path] | None


def score(
    prompts: Annotated[Path | None, inputs("the prompt table: id and prompt, or a prompt a line")] = None,
    folder: Annotated[Path | None, Argument(help="views of anyone's method, a folder a prompt")] = None,
    views: Annotated[Files, inputs("views.zip of each asset, instead of FOLDER", metavar="FILE...")] = None,
    prompt_id: Annotated[Words, inputs("the prompt of each asset of --views", metavar="ID...")] = None,
    reference: Annotated[Path | None, inputs("features.npz of eval.reference, for FID and the like")] = None,
    truth: Annotated[Path | None, inputs("folder with PROMPT/views.zip and two_faced.zip")] = None,
    out: Annotated[Files, outputs("one for each, or results/scores/NAME", metavar="FOLDER...")] = None,
    scale: Annotated[str | None, scorers("mini (default with FOLDER), paper, or a workflow's YAML")] = None,
    clip: Annotated[str | None, scorers("open_clip model name")] = None,
    clip_weights: Annotated[str | None, scorers("its weights")] = None,
    reward: Annotated[Path | None, scorers("folder of a ToyReward model")] = None,
    inception: Annotated[Path | None, scorers("weights of FID's Inception")] = None,
    view_words: Annotated[Words, scorers(f"front first, as {VIEW_WORDS}", metavar="WORD...")] = None,
    orbit: Annotated[str, settings("how views were taken, for the protocol", metavar="TEXT")] = "",
    identity: Annotated[Words, inputs("of each asset's scores (eval.identity)", metavar="DIGEST...")] = None,
    count: Annotated[int | None, settings("views an asset must have (default: any)", min=1)] = None,
    arc: Annotated[float | None, settings("degrees around (default: cameras.json's, else 360)")] = None,
    row: Annotated[Path | None, outputs("a finished run, whose table the folder joins as a row")] = None,
    as_: Annotated[str, outputs("the row's name (default: the folder's)", "--as", metavar="NAME")] = "",
    device: Device = None,
    threads: Threads = 1,
    profile: Profile = False,
) -> None:
    """Score views of 3D assets by their prompts; the models are loaded once for all.

    With a folder: scores.csv, summary.csv, summary.md, features.npz and protocol.json in `out`. Raises
    ValueError and OSError, in one line, for what cannot be scored rightly.
    """
    began = time.perf_counter()
    folder, row = (Path(place) if place else None for place in (folder, row))
    views, out = ([*map(Path, several(places))] for places in (views, out))
    check_usage(folder, views, prompt_id, out, arc, row, prompts, bool(scale or (clip and clip_weights)))
    device = prepare_machine(device, threads)
    if folder and row:
        from .others.row import add_row

        return add_row(folder, row, as_, device, arc)
    theirs = {"clip": clip, "clip_weights": clip_weights, "reward": reward, "inception": inception}
    chosen = choose(scale or ("mini" if folder else None), theirs | {"view_words": view_words})
    setting = Setting(reference, truth, chosen.pop("size"), arc, count)
    models = load_models(**chosen, device=device, orbit=orbit)
    models.watch.seconds["loading"] = time.perf_counter() - began
    scorers = prepare(models, read_texts(prompts or ""))
    places = out or [Path("results/scores") / (folder or Path()).resolve().name]
    if folder:
        from .scores.folder import score_folder  # scipy.stats takes a second to import

        score_folder(scorers, folder, places[0], setting)
    assets = zip(views, prompt_id or [], places, identity or [""] * len(places), strict=False)
    for archive, name, place, digest in assets:
        score_archive(scorers, archive, name, place, setting, digest)
    if profile:
        print(models.watch.table(time.perf_counter() - began), file=sys.stderr)


main = Program(score)

if __name__ == "__main__":
    planned(main)
