"""The prompt table: read once, checked at the door."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

REQUIRED = ("id", "prompt", "init_prompt", "camera", "symmetric")


def read_prompts(path: Path | str) -> pd.DataFrame:
    """The prompt table as strings, in file order.

    Raises ValueError for a missing column, a duplicate or ill-formed id, or an empty prompt, and
    FileNotFoundError; each message is one line that names the file.
    """
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    missing = [name for name in REQUIRED if name not in table]
    if missing:
        raise ValueError(f"{path}: missing column {', '.join(missing)}")
    repeated = sorted(set(table["id"][table["id"].duplicated()]))
    if repeated:
        raise ValueError(f"{path}: duplicate id {', '.join(repeated)}")
    wrong = [name for name in table["id"] if not name.isalnum()]
    if wrong:
        raise ValueError(f"{path}: id {wrong[0]!r} is not made of letters and digits")
    if (table["prompt"].str.strip() == "").any():
        raise ValueError(f"{path}: an empty prompt")
    if not len(table):
        raise ValueError(f"{path}: no prompts")
    return table
