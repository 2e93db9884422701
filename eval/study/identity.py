"""What is asked and whose study it is: id and source in every file of one, and the size in its results.

`source` is human, or simulated where a program ranked. Keys, pages and answers get it from `assign`, ranks
from the answers, results from the ranks; a file without it, or with more than one, is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

HUMAN, SIMULATED = SOURCES = ("human", "simulated")
QUESTIONS = {
    "q1": "Text alignment: which object fits the text best?",
    "q2": "Realism: which object looks most real?",
    "q3": "Detail: which object has the best details? Mind artifacts, brightness, and faces seen twice.",
}
# What a group is for: its ranking counts, or it is an earlier group once more, or says what to press.
KINDS = RANK, REPEAT, CHECK = ("rank", "repeat", "check")
IDENTITY = ["study", "source"]
SIZE = ["volunteers", "rankings", "prompts", "methods"]


class Identity(NamedTuple):
    """Of a study's results. rankings: of each question, one a volunteer and group of videos."""

    study: str
    source: str
    volunteers: int
    rankings: int
    prompts: int
    methods: int

    @classmethod
    def of(cls, ranks: pd.DataFrame, path: Path) -> Identity:
        """Whose these ranks are; ValueError in one line if nobody's or more than one study's."""
        volunteers, prompts, methods = (ranks[name].nunique() for name in ("volunteer", "prompt", "method"))
        rankings = len(ranks[["volunteer", "group"]].drop_duplicates())
        return cls(*read_source(ranks, path), volunteers, rankings, prompts, methods)

    def metric(self, question: str) -> str:
        """The column of Table 1: a simulated study has columns of its own."""
        return question if self.source == HUMAN else f"{question}_{self.source}"

    def __str__(self) -> str:
        who = HUMAN if self.source == HUMAN else "SIMULATED (a program ranked, no person)"
        return (
            f"study {self.study}, {who}: {self.volunteers} volunteers, {self.rankings} rankings a question, "
            f"{self.prompts} prompts, {self.methods} methods"
        )


def read_table(path: Path, names: Sequence[str], usual: Mapping[str, str] | None = None) -> pd.DataFrame:
    """A CSV as strings; ValueError in one line if it is not one or lacks a column.

    usual: the values of columns that files of earlier studies lack.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a CSV file") from error
    table = table.assign(**{name: value for name, value in (usual or {}).items() if name not in table})
    if missing := [name for name in names if name not in table]:
        raise ValueError(f"{path}: missing column {', '.join(missing)}")
    return table[list(names)]


def read_source(table: pd.DataFrame, path: Path) -> tuple[str, str]:
    """The one study and source of a table with these columns; else ValueError in one line."""
    if table.empty:
        raise ValueError(f"{path}: no rows")
    for name in IDENTITY:
        found = table[name].unique()
        if len(found) > 1:
            raise ValueError(f"{path}: more than one {name}: {', '.join(sorted(found))}")
    study, source = table[IDENTITY].iloc[0]
    if not study:
        raise ValueError(f"{path}: no study id")
    if source not in SOURCES:
        raise ValueError(f"{path}: source {source!r} is neither {' nor '.join(SOURCES)}")
    return study, source


def identify(table: pd.DataFrame, whose: Identity) -> pd.DataFrame:
    """A result with the study's identity as its first columns."""
    return table.assign(**whose._asdict())[[*whose._fields, *table.columns]]


def read_result(
    path: Path, names: Sequence[str], figures: Sequence[str] = ()
) -> tuple[Identity, pd.DataFrame]:
    """A result and whose it is: columns `names` as strings and `figures` as numbers, NaN where empty.

    Raises ValueError in one line if they are not, or if the study's identity is missing or not one.
    """
    table = read_table(path, [*IDENTITY, *SIZE, *names, *figures])
    study, source = read_source(table, path)
    sizes = table[SIZE].drop_duplicates()
    if len(sizes) > 1 or not sizes.iloc[0].str.fullmatch("[1-9][0-9]*").all():
        raise ValueError(f"{path}: {', '.join(SIZE)} are not one count each")
    try:
        numbers = table[list(figures)].replace("", "nan").astype(float)
    except ValueError as error:
        raise ValueError(f"{path}: a figure is not a number") from error
    return Identity(study, source, *map(int, sizes.iloc[0])), table[list(names)].join(numbers)
