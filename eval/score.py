"""Score views: a row for each view and metric, the features for FID, and the protocol that was followed.

    python -m eval.score FOLDER --prompts FILE              anyone's views, without Snakemake
    python -m eval.score --views views.zip --prompt-id p01 --out OUT --prompts FILE

FOLDER holds a folder a prompt, named by the prompt's id or its text, with rgb_000.png, rgb_001.png, ...
(RGBA, or RGB with alpha_*.png beside, or plain RGB), views.zip, or folders of these by seed. The views go
once around the object in even steps, in the order of their numbers, unless cameras or --arc say otherwise.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from typer import Argument, BadParameter

from segmentdreamer.command import (
    Device,
    Profile,
    Program,
    Prompts,
    Threads,
    check_threads,
    find_device,
    inputs,
    option,
    outputs,
    settings,
)
from segmentdreamer.records import shipped, write_arrays, write_json, write_table

from .prompt_table import read_texts
from .scales import scorers_of
from .scores.asset import VIEW_WORDS, Metrics
from .scores.scorers import Scorers, load_models, prepare, score_asset, text_notes
from .views.archive import read_asset, read_failure
from .views.remarks import Setting, judge

COLUMNS = ["view", "metric", "value"]
scorers = partial(option, "Scorers (default: the scale's)")


def score_archive(
    scorers: Scorers, views: Path, prompt_id: str, out: Path, setting: Setting, identity: str = ""
) -> None:
    """Score one archive of views and write scores.csv, features.npz and protocol.json into `out`."""
    failed, notes = read_failure(views), list[str]()
    scores, features = pd.DataFrame(columns=COLUMNS), Metrics()
    if failed is None:
        with scorers.models.watch.part("reading"):
            asset = read_asset(views)
        whole, notes = judge(asset, views, views.parent, setting)
        truth = setting.truth / prompt_id if setting.truth else None
        scores, features = score_asset(scorers, asset.rgba, prompt_id, truth, whole, asset.surface)
    notes = [*notes, *(note for name, note in text_notes(scorers) if name == prompt_id)]
    for note in notes:
        print(f"note: {views}: {note}", file=sys.stderr)
    text = dict(zip(scorers.prompts.ids, scorers.prompts.texts, strict=True)).get(prompt_id)
    record = scorers.protocol.record(views, failed) | {"prompt": text, "notes": notes, "identity": identity}
    out.mkdir(parents=True, exist_ok=True)
    arrays = {space: values.astype(np.float32) for space, values in features.items()}
    write_arrays(out / "features.npz", arrays)
    write_json(out / "protocol.json", record)
    write_table(out / "scores.csv", scores)


def check_usage(
    folder: Path | None,
    views: list[Path] | None,
    prompt_id: list[str] | None,
    out: list[Path] | None,
    arc: float | None,
) -> None:
    """BadParameter where the arguments do not fit together."""
    if arc is not None and not 0 < arc <= 360:
        raise BadParameter("--arc is a number of degrees, above 0 and at most 360")
    if (folder is None) == (not views):
        raise BadParameter("give either FOLDER or --views")
    if views and not len(views) == len(prompt_id or []) == len(out or []):
        raise BadParameter("--views, --prompt-id and --out need as many values as there are assets")


Words = list[str] | None
Files = list[Path] | None


def score(
    prompts: Prompts,
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
    arc: Annotated[float | None, settings("degrees around (default: cameras.json's, else 360)")] = None,
    device: Device = None,
    threads: Threads = 1,
    profile: Profile = False,
) -> None:
    """Score views of 3D assets by their prompts; the models are loaded once for all.

    With a folder: scores.csv, summary.csv, summary.md, features.npz and protocol.json in `out`. Raises
    ValueError and OSError, in one line, for what cannot be scored rightly.
    """
    began = time.perf_counter()
    check_usage(folder, views, prompt_id, out, arc)
    if folder is None and scale is None and not (clip and clip_weights):
        raise BadParameter("with --views name the scorers: --scale, or --clip and --clip-weights at least")
    check_threads(threads)
    torch.set_num_threads(threads)
    device = find_device(device)
    scale = scale or ("mini" if folder else None)
    named = {"clip": clip, "clip_weights": clip_weights, "reward": reward, "inception": inception,
             "view_words": view_words}  # fmt: skip
    chosen = {"view_words": VIEW_WORDS, "size": None} | (scorers_of(scale) if scale else {})
    chosen |= {name: value for name, value in named.items() if value}
    setting = Setting(reference, truth, chosen.pop("size"), arc)
    models = load_models(**chosen, device=device, orbit=orbit)
    loaded = time.perf_counter() - began
    scorers = prepare(models, read_texts(shipped(prompts)))
    places = out or [Path("results/scores") / (folder or Path()).resolve().name]
    if folder:
        from .scores.folder import score_folder  # scipy.stats takes a second to import

        score_folder(scorers, folder, places[0], setting)
    known = identity or [""] * len(places)
    for archive, name, place, digest in zip(views or [], prompt_id or [], places, known, strict=False):
        score_archive(scorers, archive, name, place, setting, digest)
    if profile:
        models.watch.seconds["loading"] = loaded
        print(models.watch.table(time.perf_counter() - began), file=sys.stderr)


main = Program(score)

if __name__ == "__main__":
    main()
