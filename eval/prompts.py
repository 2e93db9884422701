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
    return check(pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False), path)


def check(table: pd.DataFrame, path: Path | str) -> pd.DataFrame:
    """The table itself, if it is sound (see read_prompts)."""
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


def read_texts(path: Path | str) -> pd.DataFrame:
    """Prompts for scoring alone: a table with columns id and prompt, or a text file with a prompt a line.

    A line's id is its number, p01, p02, ...; columns that scoring does not need are filled in. Raises as
    read_prompts does.
    """
    if Path(path).suffix == ".tsv":
        table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    else:
        lines = [line.strip() for line in Path(path).read_text().splitlines() if line.strip()]
        width = max(2, len(str(len(lines))))
        ids = [f"p{i:0{width}d}" for i in range(1, len(lines) + 1)]
        table = pd.DataFrame({"id": ids, "prompt": lines}, dtype=str)
    defaults = {"init_prompt": "", "camera": "object", "symmetric": "no"}
    return check(table.assign(**{k: v for k, v in defaults.items() if k not in table}), path)
