"""The ledger of the paper's claims: each decided by this run, and printed.

    python -m eval.claims --results results/mini --claims workflow/config/claims.yaml

reads RESULTS/tables (table1's per_prompt.csv and comparisons.csv, ablation_NAME_per_prompt.csv) and writes
claims.{csv,md,json} there. The rule stands at the top of the file of claims; verdicts.py is its code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd

from segmentdreamer.command import Program, Results, Selection, inputs, settings
from segmentdreamer.records import write_table, write_text

from ..metrics import columns
from ..statistics.mean_test import Evidence
from ..statistics.power import LEDGER, POWER, smallest_effect
from ..study.identity import HUMAN
from .evidence import Tables, find, read_evidence, read_pooled
from .ledger import Claim, Ledger, read_ledger
from .page import claim_in_words, figure, markdown, named, plain
from .verdicts import ALPHA, UNDECIDABLE, UNMEASURED, UNRESOLVED, Question, combine, decide, reach, shortage

CLAIMS = Path("workflow/config/claims.yaml")
Entry = dict[str, Any]  # a claim or a contrast, as a row of the ledger
CLAIM_COLUMNS = ["claim", "verdict", "text", "where", "source", "note"]
CONTRAST_COLUMNS = [
    "claim", "claim_verdict", "verdict", "metric", "of", "direction", "than", "bound", "n", "estimate", "low",
    "high", "level", "p", "corrected", "rule", "note",
]  # fmt: skip


def put(claim: Claim, ledger: Ledger, tables: Tables, scale: str) -> list[Entry]:
    """A claim's contrasts as rows: what is asked, with the evidence and the question where both exist."""
    values, pooled = read_evidence(tables, claim.source), read_pooled(tables, claim.source)
    target = "table1" if claim.source == "table1" else f"ablation_{claim.source}"
    rows: list[Entry] = []
    for contrast in claim.contrasts:
        stated: Entry = {key: getattr(contrast, key) for key in ("metric", "of", "direction", "than")}
        stated |= {"verdict": UNMEASURED, "note": f"run `snakemake --cores all {target}`"}
        if values is None:
            rows.append(stated)
            continue
        for found in find(contrast, ledger.read_as(contrast.metric), values, pooled):
            row = stated | {"metric": found.metric, "note": found.note}
            question = ledger.question(contrast, found.reading, found.metric, scale)
            if found.evidence and question:
                row |= vars(question) | {"question": question, "evidence": found.evidence}
            elif found.evidence:
                row["note"] = f"no margin for scale {scale}"
            rows.append(row)
    return rows


def settle(claim: Claim, ledger: Ledger, tables: Tables, scale: str) -> tuple[Entry, list[Entry]]:
    """A claim's row with its verdict, and the rows of its contrasts with theirs."""
    rows = put(claim, ledger, tables, scale)
    measured = [row for row in rows if "evidence" in row]
    questions, evidence = [row.pop("question") for row in measured], [row.pop("evidence") for row in measured]
    decided = decide(questions, evidence)
    for row, asked, known, found in zip(measured, questions, evidence, decided, strict=True):
        row |= vars(found) | {"n": known.n, "estimate": known.estimate}
        if found.verdict == UNRESOLVED:
            row["note"] = "; ".join(filter(None, (row["note"], tell_reach(row, asked, known, len(measured)))))
    verdict, note = combine([row["verdict"] for row in rows]), ""
    if verdict == UNRESOLVED:
        hopeless, note = shortage(questions, evidence)
        verdict = UNDECIDABLE if hopeless else verdict
    top = {"claim": claim.id, "verdict": verdict, "text": claim.text, "where": claim.where}
    rows = [{"claim": claim.id, "claim_verdict": verdict} | row for row in rows]
    return top | {"source": claim.source, "note": note}, rows


def tell_reach(row: Entry, question: Question, evidence: Evidence, family: int) -> str:
    """What these prompts would have decided of an open contrast, in words."""
    digits = named(row["metric"])["digits"] + 1
    sizes = [
        f"{figure(size, f'.{digits}f')}" if np.isfinite(size) else "none, however large"
        for size in reach(question, evidence, family)
    ]
    what = "true differences" if question.bound == 0 else "distances from the bound"
    return f"{what} found with probability {POWER:g}: {sizes[0]} for it, {sizes[1]} against it"


def evaluate(ledger: Ledger, tables: Tables, scale: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The ledger's two tables: a row a claim (CLAIM_COLUMNS), and a row a contrast (CONTRAST_COLUMNS).

    estimate: what p tests, the mean over prompts of the paired difference or, where a threshold decides, of
    the value; or the difference of pooled distances. low, high, level: the interval that decides, NaN where
    so few prompts have none.
    """
    settled = [settle(claim, ledger, tables, scale) for claim in ledger.claims]
    contrasts = pd.DataFrame([row for _, rows in settled for row in rows]).reindex(columns=CONTRAST_COLUMNS)
    figures = ["bound", "n", "estimate", "low", "high", "level", "p", "corrected"]
    contrasts[figures] = contrasts[figures].astype(float).replace([-np.inf, np.inf], np.nan)
    return pd.DataFrame([claim for claim, _ in settled], columns=CLAIM_COLUMNS), contrasts


def name_study(contrasts: pd.DataFrame, study: Mapping[str, Any] | None) -> pd.DataFrame:
    """The contrasts, where a study decides or would, with whose study it was (`study` of table1.json)."""
    if not study:
        return contrasts
    known = columns()
    ranked = np.array([bool(known.get(metric, {}).get("study")) for metric in contrasts["metric"]])
    text = study["text"] if study["source"] == HUMAN else f"no person was asked: {study['text']}"
    return contrasts.assign(note=contrasts["note"].mask(ranked, text))


def tell_why(contrasts: pd.DataFrame, claims: pd.DataFrame, record: Mapping[str, Any]) -> pd.DataFrame:
    """The contrasts, with what else a reader must know of those that are open: saturation, and n's reach.

    record: table1.json. Of what was not measured no spread is known: its reach is in standard deviations.
    """
    n, found = len(record["complete"]), []
    effect = smallest_effect(n, ALPHA / 2, LEDGER)
    of_table = set(claims.loc[claims["source"] == "table1", "claim"])
    for row in contrasts.to_dict("records"):
        parts = [row["note"]]
        if row["verdict"] == UNMEASURED:
            parts += [
                f"{n} prompts would find a difference of {effect:.2g} standard deviations between prompts"
            ]
        elif row["verdict"] == UNRESOLVED and row["claim"] in of_table:
            parts += [
                f"saturated: {reason}"
                for metric, reason in record.get("saturated", {}).items()
                if metric == row["metric"]
            ]
        found.append("; ".join(filter(None, parts)))
    return contrasts.assign(note=found)


def as_json(
    claims: pd.DataFrame, contrasts: pd.DataFrame, ledger: Ledger, titles: dict[str, str], scale: str
) -> str:
    """The ledger as one object with its margins and thresholds; figures that do not exist are null.

    words: the lines of each claim's contrasts, as on the page.
    """
    figures = contrasts.astype(object).where(contrasts.notna(), None)
    rows = [
        row
        | {"words": claim_in_words(contrasts, row["claim"], titles)}
        | {"contrasts": figures[figures["claim"] == row["claim"]].to_dict("records")}
        for row in claims.to_dict("records")
    ]
    known = {"scale": scale, "claims": rows, "margins": ledger.margins, "thresholds": ledger.thresholds}
    return json.dumps(known, indent=1, allow_nan=False, default=vars) + "\n"


def decide_claims(
    results: Results,
    claims: Annotated[Path, inputs("YAML")] = CLAIMS,
    selection: Selection = "",
    ablations: Annotated[
        str,
        settings(
            "as --selection, of the ablations' tables; claims of both stand in SELECTION-ABLATIONS",
            metavar="NAME",
        ),
    ] = "",
) -> None:
    """Decide the paper's claims by this run, and print them."""
    tables = Tables(results / "tables" / selection, results / "tables" / ablations)
    out = results / "tables" / "-".join(filter(None, (selection, ablations)))
    record = json.loads((tables.table1 / "table1.json").read_text("utf-8"))
    ledger = read_ledger(claims)
    scale, titles = record["scale"], tables.labels() | record["methods"]
    decided, contrasts = evaluate(ledger, tables, scale)
    contrasts = name_study(tell_why(contrasts, decided, record), record.get("study"))
    write_table(out / "claims.csv", contrasts)
    write_text(out / "claims.md", markdown(decided, contrasts, ledger, titles, scale))
    write_text(out / "claims.json", as_json(decided, contrasts, ledger, titles, scale))
    print(plain(decided, contrasts, titles, scale))


main = Program(decide_claims)
