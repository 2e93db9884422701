"""The ledger in words: as a page and as it is printed at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ..ablation import ablation_columns
from ..metrics import columns
from ..tables.formats import Marked, grid, quote
from ..tables.paper import SCALE as PAPER
from .ledger import Ledger
from .verdicts import ABSOLUTE, COMPARED, ONE_SIDED, TOST, TWO_SIDED, UNMEASURED

RULE = (
    "A claim is supported if all of its contrasts hold, each at p < .05 without correction, and contradicted "
    "if one fails after Holm's correction within the claim. Each line has the mean over prompts, the "
    "interval that decides on the side where it lies, and the p that agrees with it. The rule in full stands "
    "at the top of `workflow/config/claims.yaml`."
)


def markdown(
    claims: pd.DataFrame, contrasts: pd.DataFrame, ledger: Ledger, titles: dict[str, str], scale: str
) -> str:
    """The ledger as a page: counts of verdicts, a row a claim with its numbers, margins and thresholds."""
    body = []
    for claim in claims.itertuples():
        numbers = Marked("<br>".join(map(quote, claim_in_words(contrasts, str(claim.claim), titles))))
        verdict = f"**{quote(str(claim.verdict))}**" + (f"<br>{quote(str(claim.note))}" if claim.note else "")
        body.append([str(claim.text), str(claim.where), Marked(verdict), numbers])
    table = grid(["The paper says", "Where", "This run", "What decides"], body)
    bounds = "\n".join(f"- {quote(text)}" for text in bounds_in_words(ledger, scale))
    return f"# Claims of the paper\n\n{summary(claims, scale)}\n\n{RULE}\n\n{table}\n\n{bounds}\n"


def plain(claims: pd.DataFrame, contrasts: pd.DataFrame, titles: dict[str, str], scale: str) -> str:
    """The ledger as it is printed at the end of a run."""
    lines = [summary(claims, scale)]
    for claim in claims.itertuples():
        lines.append(f"{str(claim.verdict).upper():13} {claim.text} ({claim.where})")
        notes = [str(claim.note)] if claim.note else []
        lines += [f"{'':14}{text}" for text in notes + claim_in_words(contrasts, str(claim.claim), titles)]
    return "\n".join(lines)


def summary(claims: pd.DataFrame, scale: str) -> str:
    """How many claims got which verdict, and of what they speak."""
    said = ", ".join(f"{count} {verdict}" for verdict, count in claims["verdict"].value_counts().items())
    ours = " They speak of the losses on this scale's prior, not of the paper's assets."
    return f"Scale {scale}, {len(claims)} claims: {said}.{'' if scale == PAPER else ours}"


def bounds_in_words(ledger: Ledger, scale: str) -> list[str]:
    """The margins of this scale and the thresholds, with their reasons."""
    margins = {name: places[scale] for name, places in ledger.margins.items() if scale in places}
    return [f"margin {name}: {bound.value:g} ({bound.reason})" for name, bound in margins.items()] + [
        f"threshold {name}, {named(metric)['name']}: {bound.value:g} ({bound.reason})"
        for name, places in ledger.thresholds.items()
        for metric, bound in places.items()
    ]


def claim_in_words(contrasts: pd.DataFrame, claim: str, titles: dict[str, str]) -> list[str]:
    """A line a contrast; of a claim that nothing measured, only the reasons."""
    rows = contrasts[contrasts["claim"] == claim].to_dict("records")
    if all(row["verdict"] == UNMEASURED for row in rows):
        return list(dict.fromkeys(row["note"] for row in rows))
    return [in_words(row, titles) for row in rows]


def named(metric: str) -> dict[str, Any]:
    return (columns() | ablation_columns()).get(metric, {"name": metric, "digits": 2})


def in_words(row: Mapping[Any, Any], titles: dict[str, str]) -> str:
    """One contrast as a line: what is claimed, estimate, the interval and the p that decide, n, verdict."""
    spec = named(row["metric"])
    text = f"{spec['name']}: {asked(row, titles)}"
    if row["verdict"] == UNMEASURED:
        return f"{text}: {row['note']}"
    form = f"{'' if row['direction'] in ABSOLUTE else '+'}z.{spec['digits']}f"
    estimate, low, high = (figure(row[key], form) for key in ("estimate", "low", "high"))
    level = f"{100 * row['level']:.4g} %"
    interval = f"[{low}, {high}] ({level})" if row["low"] == row["low"] else f"(no {level} interval)"
    p = f"p {figure(row['p'], '.2g')}"
    if row["rule"] != TWO_SIDED:
        corrected = f": {figure(row['corrected'], '.2g')}" if row["rule"] not in (ONE_SIDED, TOST) else ""
        p += f" ({row['rule']}{corrected})"
    note = f" ({row['note']})" if row["note"] else ""
    return f"{text}: {estimate} {interval}, {p}, n = {row['n']:.0f}, {row['verdict']}{note}"


def figure(value: float, form: str) -> str:
    """A number with a minus sign, not a hyphen."""
    return format(value, form).replace("-", "−")


def asked(row: Mapping[Any, Any], titles: dict[str, str]) -> str:
    """What a contrast claims, in words."""
    of, than = (titles.get(row[side], row[side]) for side in ("of", "than"))
    direction, known = row["direction"], row["bound"] == row["bound"]
    if direction in COMPARED:
        return f"{of} {direction} than {than}"
    if direction in ABSOLUTE:
        return f"{of} {direction} {row['bound'] if known else 'the threshold'}"
    within = figure(row["bound"], "g") if known else "the margin"
    if direction == "same":
        return f"{of} the same as {than} within {within}"
    return f"{of} {direction} than {than} by {within} or more"
