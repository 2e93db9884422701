"""The ledger of the paper's claims: each decided by paired differences of this run, and printed.

    python -m eval.claims --results results/mini --claims workflow/config/claims.yaml

reads RESULTS/tables (table1's per_prompt.csv and comparisons.csv, ablation_NAME_per_prompt.csv) and writes
claims.{csv,md,json} there. The rule stands at the top of the file of claims, and in eval.ledger.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eval.ablation import columns as ablation_columns
from eval.columns import columns
from eval.comparison import compare, holm
from eval.formats import Marked, grid, quote
from eval.ledger import UNMEASURED, Contrast, Ledger, combine, judge, read_ledger
from eval.paper import SCALE as PAPER

CLAIMS = Path("workflow/config/claims.yaml")
CONTRAST_COLUMNS = [
    "claim", "claim_verdict", "verdict", "metric", "of", "direction", "than", "margin", "n", "difference",
    "low", "high", "shift", "won", "p", "holm", "note",
]  # fmt: skip


def read_evidence(results: Path, source: str) -> pd.DataFrame | None:
    """Values per prompt of a source: method, prompt, metric, value; None if the run has not made it."""
    name = "per_prompt.csv" if source == "table1" else f"ablation_{source}_per_prompt.csv"
    path = results / "tables" / name
    if not path.exists():
        return None
    return pd.read_csv(path).rename(columns={"variant": "method"})


def read_pooled(results: Path | None) -> pd.DataFrame:
    """Differences of pooled distances between methods, from table1's comparisons.csv; empty without it."""
    path = results / "tables" / "comparisons.csv" if results else None
    if path is None or not path.exists():
        return pd.DataFrame(columns=["method", "against", "metric"])
    table = pd.read_csv(path)
    pooled = {metric for metric, spec in columns().items() if spec.get("pooled")}
    return table[table["metric"].isin(pooled)]


def difference(
    contrast: Contrast, metric: str, values: pd.DataFrame, pooled: pd.DataFrame
) -> dict[Hashable, Any] | None:
    """n, difference, low, high, shift, won, p of (of - than); None if either has no value.

    `won` is the share of prompts on which the contrast holds. values: read_evidence; pooled: read_pooled.
    """
    mine = values[(values["metric"] == metric) & values["method"].isin([contrast.of, contrast.than])]
    if mine["method"].nunique() == 2:
        holds = {metric: "down" if contrast.direction == "lower" else "up"}
        found = compare(mine, holds, contrast.than).to_dict("records")[0]
        return found if found["n"] else None
    for of, than, sign in ((contrast.of, contrast.than, 1), (contrast.than, contrast.of, -1)):
        rows = pooled[pooled["metric"] == metric]
        if len(rows := rows[(rows["method"] == of) & (rows["against"] == than)]):
            row = rows.iloc[0].to_dict()
            low, high = sorted((sign * row["low"], sign * row["high"]))
            return row | {"difference": sign * row["difference"], "low": low, "high": high}
    return None


def decide(contrast: Contrast, source: str, results: Path, ledger: Ledger, scale: str) -> dict[str, Any]:
    """One contrast with its numbers and its verdict."""
    stated: dict[str, Any] = {"of": contrast.of, "direction": contrast.direction, "than": contrast.than}
    blank = stated | {"metric": contrast.metric, "verdict": UNMEASURED}
    margin = ledger.margins[contrast.margin].get(scale) if contrast.margin else 0.0
    if margin is None:
        return blank | {"note": f"no margin for scale {scale}"}
    values = read_evidence(results, source)
    if values is None:
        target = "table1" if source == "table1" else f"ablation_{source}"
        return blank | {"note": f"run `snakemake --cores all {target}`"}
    pooled = read_pooled(results if source == "table1" else None)
    for metric in ledger.metrics.get(contrast.metric, [contrast.metric]):
        found = difference(contrast, metric, values, pooled)
        if found is not None:
            verdict = judge(found["low"], found["high"], contrast.direction, margin)
            few = "too few prompts for an interval" if found["low"] != found["low"] else ""
            kept = {key: found[key] for key in ("n", "difference", "low", "high", "shift", "won", "p")}
            return stated | kept | {"metric": metric, "margin": margin, "verdict": verdict, "note": few}
    return blank | {"note": "no such figure in this run"}


def evaluate(ledger: Ledger, results: Path, scale: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The ledger's two tables: a row a claim (with its verdict), and a row a contrast (with its numbers).

    `holm` adjusts p over all contrasts that were measured.
    """
    claims, contrasts = [], []
    for claim in ledger.claims:
        decided = [decide(c, claim.source, results, ledger, scale) for c in claim.contrasts]
        verdict = combine([row["verdict"] for row in decided])
        claims.append((claim.id, verdict, claim.text, claim.where, claim.source))
        contrasts += [{"claim": claim.id, "claim_verdict": verdict} | row for row in decided]
    table = pd.DataFrame(contrasts).reindex(columns=CONTRAST_COLUMNS)
    table["holm"] = holm(table["p"].to_numpy(dtype=float))
    return pd.DataFrame(claims, columns=["claim", "verdict", "text", "where", "source"]), table


def claim_in_words(contrasts: pd.DataFrame, claim: str, titles: dict[str, str]) -> list[str]:
    """A line a contrast; of a claim that nothing measured, only the reasons."""
    rows = contrasts[contrasts["claim"] == claim].to_dict("records")
    if all(row["verdict"] == UNMEASURED for row in rows):
        return list(dict.fromkeys(row["note"] for row in rows))
    return [in_words(row, titles) for row in rows]


def in_words(row: Mapping[Any, Any], titles: dict[str, str]) -> str:
    """One contrast as a line: what is claimed, the difference, its interval, p and n."""
    spec = (columns() | ablation_columns()).get(row["metric"], {"name": row["metric"], "digits": 2})
    names = {side: titles.get(row[side], row[side]) for side in ("of", "than")}
    text = f"{spec['name']}: {names['of']} {row['direction']} than {names['than']}"
    if row["direction"] == "same":
        text = f"{spec['name']}: {names['of']} the same as {names['than']}"
    if row["verdict"] == UNMEASURED:
        return f"{text}: {row['note']}"
    digits = spec["digits"]
    difference, low, high = (f"{row[key]:+.{digits}f}" for key in ("difference", "low", "high"))
    interval = f"[{low}, {high}]" if row["low"] == row["low"] else f"({row['note']})"
    allowed = f", margin {row['margin']:g}" if row["margin"] else ""
    adjusted = f", adjusted p {row['holm']:.2g}" if row["holm"] == row["holm"] else ""
    return f"{text}: {difference} {interval}{allowed}{adjusted}, n = {row['n']:.0f}, {row['verdict']}"


def markdown(claims: pd.DataFrame, contrasts: pd.DataFrame, titles: dict[str, str], scale: str) -> str:
    """The ledger as a page: how many of each verdict, then a row a claim with its numbers."""
    body = []
    for claim in claims.itertuples():
        numbers = Marked("<br>".join(map(quote, claim_in_words(contrasts, str(claim.claim), titles))))
        body.append([str(claim.text), str(claim.where), Marked(f"**{claim.verdict}**"), numbers])
    header = ["The paper says", "Where", "This run", "Paired differences over prompts"]
    return f"# Claims of the paper\n\n{summary(claims, scale)}\n\n{grid(header, body)}\n"


def summary(claims: pd.DataFrame, scale: str) -> str:
    """How many claims got which verdict, and of what they speak."""
    said = ", ".join(f"{count} {verdict}" for verdict, count in claims["verdict"].value_counts().items())
    ours = (
        ""
        if scale == PAPER
        else " They speak of the losses on this scale's prior, not of the paper's assets."
    )
    return f"Scale {scale}, {len(claims)} claims: {said}.{ours}"


def plain(claims: pd.DataFrame, contrasts: pd.DataFrame, titles: dict[str, str], scale: str) -> str:
    """The ledger as it is printed at the end of a run."""
    lines = [summary(claims, scale)]
    for claim in claims.itertuples():
        lines.append(f"{str(claim.verdict).upper():13} {claim.text} ({claim.where})")
        lines += [f"{'':14}{text}" for text in claim_in_words(contrasts, str(claim.claim), titles)]
    return "\n".join(lines)


def as_json(claims: pd.DataFrame, contrasts: pd.DataFrame, scale: str) -> str:
    """The ledger as one object; figures that do not exist are null."""
    rows = [row | {"contrasts": contrasts[contrasts["claim"] == row["claim"]].to_dict("records")}
            for row in claims.to_dict("records")]  # fmt: skip
    for row in rows:
        row["contrasts"] = [
            {key: None if isinstance(v, float) and np.isnan(v) else v for key, v in contrast.items()}
            for contrast in row["contrasts"]
        ]
    return json.dumps({"scale": scale, "claims": rows}, indent=1, allow_nan=False) + "\n"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Decide the paper's claims by this run, and print them.")
    parser.add_argument("--results", type=Path, required=True, help="e.g. results/mini, with its tables")
    parser.add_argument("--claims", type=Path, default=CLAIMS, help=f"YAML (default: {CLAIMS})")
    args = parser.parse_args(argv)
    out = args.results / "tables"
    try:
        record = json.loads((out / "table1.json").read_text())
        ledger = read_ledger(args.claims)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")
    scale, titles = record["scale"], record["methods"]
    claims, contrasts = evaluate(ledger, args.results, scale)
    contrasts.to_csv(out / "claims.csv", index=False, float_format="%.6g")
    (out / "claims.md").write_text(markdown(claims, contrasts, titles, scale), encoding="utf-8")
    (out / "claims.json").write_text(as_json(claims, contrasts, scale), encoding="utf-8")
    print(plain(claims, contrasts, titles, scale))


if __name__ == "__main__":
    main()
