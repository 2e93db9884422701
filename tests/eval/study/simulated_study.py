"""A ranking study that is simulated: whom it asks of what, and its analysis."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from eval.study import commands as study

TOYBOX = str(Path(__file__).parents[3] / "prompts/toybox.tsv")
METHODS = ["sds", "ism", "cds", "gcs", "sctd"]
PROMPTS = [f"p{i:02d}" for i in range(1, 41)]
WORTHS = dict(zip(METHODS, [0.05, 0.15, 0.1, 0.25, 0.45], strict=True))


def simulation(out: Path, *options: str) -> list[str]:
    worths = [f"{method}={worth}" for method, worth in WORTHS.items()]
    return ["simulate", "--prompts", TOYBOX, "--methods", *METHODS, "--worths", *worths, *options,
            "--out", str(out)]  # fmt: skip


def analyzed(folder: Path, out: Path, change: dict | None = None) -> Path:
    """study.csv of a study's answers, whose ranks may be changed in between."""
    files = map(str, sorted((folder / "answers").iterdir()))
    study.main(["collect", "--study", str(folder), "--answers", *files, "--out", str(out / "ranks.csv")])
    pd.read_csv(out / "ranks.csv").assign(**(change or {})).to_csv(out / "ranks.csv", index=False)
    study.main(
        ["analyse", "--ranks", str(out / "ranks.csv"), "--resamples", "50", "--out", str(out / "study.csv")]
    )
    return out / "study.csv"
