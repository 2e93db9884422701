"""Score views: a row for each view and metric, the features for FID, and the protocol that was followed.

    python -m eval.score FOLDER --prompts FILE              anyone's views, without Snakemake
    python -m eval.score --views views.zip --prompt-id p01 --out OUT --prompts FILE

FOLDER holds a folder a prompt, named by the prompt's id or its text, with rgb_000.png, rgb_001.png, ...
(RGBA, or RGB with alpha_*.png beside, or plain RGB), views.zip, or folders of these by seed. The views go
once around the object in even steps, in the order of their numbers, unless cameras or --arc say otherwise.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import pandas as pd
import torch

from segmentdreamer.records import write_json

from .prompt_table import read_texts
from .scales import scorers_of
from .scores.asset import VIEW_WORDS, Metrics
from .scores.folder import score_folder
from .scores.scorers import Scorers, load_models, prepare, score_asset
from .views.archive import read_asset, read_failure
from .views.remarks import Setting, judge

COLUMNS = ["view", "metric", "value"]


def score_archive(scorers: Scorers, views: Path, prompt_id: str, out: Path, setting: Setting) -> None:
    """Score one archive of views and write scores.csv, features.npz and protocol.json into `out`."""
    failed = read_failure(views)
    notes: list[str] = []
    scores = pd.DataFrame(columns=COLUMNS)
    features: Metrics = {}
    if failed is None:
        with scorers.models.watch.part("reading"):
            asset = read_asset(views)
        whole, notes = judge(asset, views, views.parent, setting)
        truth = setting.truth / prompt_id if setting.truth else None
        scores, features = score_asset(scorers, asset.rgba, prompt_id, truth, whole)
    for note in notes:
        print(f"note: {views}: {note}", file=sys.stderr)
    text = dict(zip(scorers.prompts.ids, scorers.prompts.texts, strict=True)).get(prompt_id)
    record = scorers.protocol.record(views, failed) | {"prompt": text, "notes": notes}
    write_scores(scores, features, record, out)


def write_scores(scores: pd.DataFrame, features: Metrics, record: dict, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    arrays = {space: values.astype(np.float32) for space, values in features.items()}
    np.savez(out / "features.npz", **arrays)  # type: ignore[arg-type]
    write_json(out / "protocol.json", record)
    scores.to_csv(out / "scores.csv", index=False, float_format="%.6g")


def apply_scale(args: argparse.Namespace) -> None:
    """Fill in the scorers that the command line leaves out from the scale's configuration."""
    for name, value in scorers_of(args.scale).items():
        setattr(args, name, getattr(args, name) or value)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Score views of 3D assets by their prompts; the models are loaded once for all.",
        epilog="With FOLDER: scores.csv, summary.csv, summary.md, features.npz and protocol.json in --out.",
    )
    parser.add_argument("folder", type=Path, nargs="?", help="views of anyone's method, a folder a prompt")
    parser.add_argument("--prompts", type=Path, required=True,
                        help="table or JSON of id and prompt, or a prompt a line")  # fmt: skip
    parser.add_argument("--out", type=Path, nargs="+", help="default: scores/NAME; one each with --views")
    parser.add_argument("--views", type=Path, nargs="+", help="views.zip of each asset, instead of FOLDER")
    parser.add_argument("--prompt-id", nargs="+", help="the prompt of each asset of --views")
    parser.add_argument("--scale", help="whose scorers stand where none are named: mini, paper, or a "
                        "workflow's YAML (default: mini with FOLDER, none with --views)")  # fmt: skip
    parser.add_argument("--clip", help="open_clip model name (default: the scale's)")
    parser.add_argument("--clip-weights", help="its weights (default: the scale's)")
    parser.add_argument("--reward", type=Path, help="folder of a ToyReward model (default: the scale's)")
    parser.add_argument("--inception", type=Path, help="weights of FID's Inception (default: the scale's)")
    parser.add_argument("--view-words", nargs="+", metavar="WORD",
                        help=f"front first (default: the scale's, e.g. {', '.join(VIEW_WORDS)})")  # fmt: skip
    parser.add_argument("--orbit", default="", metavar="TEXT", help="how views were taken, for the protocol")
    parser.add_argument("--reference", type=Path, help="features.npz of eval.reference, for FID and the like")
    parser.add_argument("--truth", type=Path, help="folder with PROMPT/views.zip and two_faced.zip")
    parser.add_argument("--arc", type=float, metavar="DEGREES",
                        help="that views go around (default: as cameras.json says, else 360)")  # fmt: skip
    parser.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--profile", action="store_true", help="print where the time went")
    args = parser.parse_args(argv)
    args.size = None  # of the scale's views
    if args.arc is not None and not 0 < args.arc <= 360:
        parser.error("--arc is a number of degrees, above 0 and at most 360")
    if (args.folder is None) == (args.views is None):
        parser.error("give either FOLDER or --views")
    lists = [x for x in (args.views, args.prompt_id, args.out) if x is not None]
    if args.views and (len(lists) < 3 or len({len(x) for x in lists}) > 1):
        parser.error("--views, --prompt-id and --out need as many values as there are assets")
    if args.folder:
        args.scale = args.scale or "mini"
    elif args.scale is None and not (args.clip and args.clip_weights):
        parser.error("with --views name the scorers: --scale, or --clip and --clip-weights at least")
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    began = time.perf_counter()
    torch.set_num_threads(args.threads)
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        if args.scale:
            apply_scale(args)
        table = read_texts(args.prompts)
        setting = Setting(args.reference, args.truth, args.size, args.arc)
        models = load_models(
            args.clip, args.clip_weights, args.reward, args.inception, args.view_words or VIEW_WORDS, device,
            args.orbit,
        )  # fmt: skip
        loaded = time.perf_counter() - began
        scorers = prepare(models, table)
        if args.views:
            for views, prompt_id, out in zip(args.views, args.prompt_id, args.out, strict=True):
                score_archive(scorers, views, prompt_id, out, setting)
        else:
            out = args.out[0] if args.out else Path("scores") / args.folder.resolve().name
            score_folder(scorers, args.folder, out, setting)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {' '.join(str(error).splitlines())}")
    if args.profile:
        models.watch.seconds["loading"] = loaded
        print(models.watch.table(time.perf_counter() - began), file=sys.stderr)


if __name__ == "__main__":
    main()
