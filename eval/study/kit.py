"""The folder of a ranking study: pages and blinded videos to hand out, and the key to keep.

study/key.csv                     secret: which video is whose
study/handout/v01.html ...        one page a volunteer; opens from disk, needs no network
study/handout/videos/<name>.mp4   shared by all pages
"""

from __future__ import annotations

import html
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

import pandas as pd

from ..views.archive import read_failure
from .identity import CHECK, IDENTITY, QUESTIONS

PAGE = Path(__file__).parent / "page.html"
TOLD = "A check of attention, not of taste: for every question, press the letters from the last to the first."


def turntable(results: Path, method: str, prompt: str, seed: int) -> Path:
    """Where a run keeps the video of an asset."""
    return results / "views" / method / prompt / str(seed) / "turntable.mp4"


def showable_prompts(
    results: Path, methods: Sequence[str], prompts: Sequence[str], seeds: int
) -> tuple[list[str], dict[str, str]]:
    """The prompts that every method has an asset of, and of the others the first reason why not.

    A failed asset leaves its prompt out of the study, as in the headline of the table. Raises
    FileNotFoundError for a video that is missing though its asset did not fail.
    """
    left_out: dict[str, str] = {}
    for prompt in prompts:
        for method in methods:
            for seed in range(seeds):
                video = turntable(results, method, prompt, seed)
                if not video.exists():
                    raise FileNotFoundError(f"no video {video}")
                archive = video.with_name("views.zip")
                if archive.exists() and (reason := read_failure(archive)):
                    left_out.setdefault(prompt, f"{method}, seed {seed}: {reason}")
    return [prompt for prompt in prompts if prompt not in left_out], left_out


def page(key: pd.DataFrame, texts: Mapping[str, str]) -> str:
    """The HTML page of one volunteer. key: the volunteer's rows; texts: prompt id -> prompt.

    It holds the prompts' texts and the blinded names in their order, and nothing else of the key.
    """
    study, source, volunteer = key[[*IDENTITY, "volunteer"]].iloc[0]
    groups = [
        {
            "group": int(str(number)),
            "videos": rows["video"].tolist(),
            "check": rows["kind"].iloc[0] == CHECK,
            "prompt": TOLD if rows["kind"].iloc[0] == CHECK else texts[rows["prompt"].iloc[0]],
        }
        for number, rows in key.sort_values(["group", "position"]).groupby("group")
    ]
    data = {"study": study, "source": source, "volunteer": volunteer, "questions": QUESTIONS}
    text = json.dumps(data | {"groups": groups}).replace(
        "<", "\\u003c"
    )  # no prompt can end the script element
    title = f"Ranking study {study}, {volunteer}"
    return Template(PAGE.read_text(encoding="utf-8")).substitute(title=html.escape(title), data=text)


def write_kit(key: pd.DataFrame, texts: Mapping[str, str], results: Path, out: Path) -> None:
    """Write the folder; the videos are copied in the order of their blinded names.

    Raises FileExistsError if `out` has a key already: its answers could no longer be read.
    """
    if (out / "key.csv").exists():
        raise FileExistsError(f"{out / 'key.csv'} exists: a study is not overwritten")
    videos = out / "handout" / "videos"
    videos.mkdir(parents=True, exist_ok=True)
    shown = key[["video", "method", "prompt", "seed"]].drop_duplicates().sort_values("video")
    for video, method, prompt, seed in shown.itertuples(index=False, name=None):
        shutil.copyfile(turntable(results, method, prompt, seed), videos / video)
    for volunteer, rows in key.groupby("volunteer"):
        (out / "handout" / f"{volunteer}.html").write_text(page(rows, texts), encoding="utf-8")
    key.to_csv(out / "key.csv", index=False)
