"""The caption of Table 1: what was run, how to read a cell, what is tested and what tests find, protocols."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import isinf

import pandas as pd

from ..metrics import columns
from ..run import Run
from ..statistics.comparison import ALPHA, smallest_p
from ..statistics.intervals import KIND, SMALLEST_SAMPLE
from ..statistics.power import POWER
from ..statistics.saturation import TRUTH
from .analysis import Analysis
from .formats import BETTER, WORSE
from .layout import Setting
from .paper import SCALE


def caption(analysis: Analysis, run: Run, setting: Setting) -> str:
    """Scale, scorer, numbers of prompts and seeds, how to read a cell, what can be significant, protocols."""
    n, asked, failed = len(analysis.complete), len(run.prompts), len(run.failed())
    parts = [
        f"Scale {setting.scale}: {n} prompts, {setting.seeds} seed(s).",
        f"Text-image scorer: {setting.scorer}.",
        f"Mean over prompts [95 % interval: {KIND}; pooled distances: t on the jackknife's error; cut at the "
        f"metric's range; none below {SMALLEST_SAMPLE} prompts or where all agree].",
    ]
    if setting.study:
        parts.insert(1, f"Q1 to Q3: mean ranks of {setting.study}; intervals and tests: crossed bootstrap.")
    if failed:
        second = ", the second all of them" if len(analysis.floor) else ""
        parts.append(
            f"{failed} asset(s) failed (notes): the first block counts the {n} of {asked} prompts "
            f"on which every method succeeded{second}."
        )
    parts += [*tell_tests(analysis, setting), *tell_columns(analysis, setting)]
    if setting.paper and setting.scale == SCALE:
        parts.append("The paper's value stands below this run's; the notes say what differs by design.")
    parts.append("Figures of one scale are never compared with another's.")
    protocols = [f"{metric}: {text}" for metric, text in run.protocols.items()]
    if protocols:
        parts.append(f"Protocols ({run.protocol_id}): {'; '.join(protocols)}.")
    return " ".join(parts)


def tell_tests(analysis: Analysis, setting: Setting) -> Iterator[str]:
    """What letters, bold and marks mean, over which families, and what these can find."""
    judged = analysis.comparisons.dropna(subset="holm_pairs")
    if judged.empty:
        return
    pairs = int(judged.groupby("metric").size().max())
    family = int(analysis.comparisons["holm"].notna().sum())
    least = smallest_p(len(analysis.complete))
    yield (
        f"Confirmatory, decided before any run: {named(analysis.confirmatory)}; all other columns have "
        "intervals and no tests. Methods that share a letter do not differ: paired sign-flip tests over "
        f"prompts (pooled distances: jackknife t) of all pairs, Holm over the {pairs} pairs of a column, p < "
        f"{ALPHA:g}; bold is a best method that shares its letter with no other."
    )
    if family:
        yield (
            f"{BETTER} better, {WORSE} worse than {setting.title(setting.reference)}: the same tests, Holm "
            f"over all {family} comparisons with it."
        )
    reached = [f"{min(1.0, pairs * least):.2g} after Holm over a column's pairs"]
    reached += [f"{min(1.0, family * least):.2g} over all comparisons"] * bool(family)
    yield f"The smallest p that sign flips can attain is {least:.2g}: {', '.join(reached)}."
    yield tell_power(analysis.power)


def tell_power(power: pd.DataFrame) -> str:
    """The difference that letters and marks find in each confirmatory metric, with the power asked for."""
    known, texts = columns(), []
    for metric, rows in power.groupby("metric", sort=False):
        spec = known[str(metric)]
        sizes = {
            "marks" if against else "letters": "none" if isinf(size) else f"{size:.{spec['digits'] + 1}f}"
            for against, size in zip(rows["against"], rows["difference"], strict=True)
        }
        texts.append(f"{spec['name']} " + ", ".join(f"{size} ({family})" for family, size in sizes.items()))
    return (
        f"Power: with so many prompts and this spread of paired differences, a true difference of this size "
        f"is found with probability {POWER:g}: {'; '.join(texts)}."
    )


def tell_columns(analysis: Analysis, setting: Setting) -> Iterator[str]:
    """Which columns of Table 1 are saturated, and in which distances the ceiling is none."""
    reasons: dict[str, list[str]] = {}
    for metric, reason in analysis.saturated.items():
        reasons.setdefault(reason, []).append(metric)
    if reasons:
        told = "; ".join(f"{named(metrics)} ({reason})" for reason, metrics in reasons.items())
        yield f"Saturated, so in the extended table alone: {told}."
    shown = [m for m in (*analysis.primary, *analysis.saturated) if columns()[m].get("pooled")]
    if behind := [text for metric in shown if (text := tell_ceiling(analysis, metric))]:
        yield (
            f"The {setting.title(TRUTH)} itself stands behind {', '.join(behind)}: the reference's images "
            "have colored backgrounds, which no asset has."
        )


def tell_ceiling(analysis: Analysis, metric: str) -> str:
    """How many methods the control that none should beat stands behind in a metric; nothing if none."""
    means = analysis.summary[analysis.summary["metric"] == metric].set_index("method")["mean"]
    if TRUTH not in means:
        return ""
    sign = -1 if columns()[metric]["better"] == "down" else 1
    mine = means[means.index.isin(analysis.comparisons[["method", "against"]].to_numpy().ravel())]
    ahead = int((sign * mine > sign * means[TRUTH]).sum())
    return f"{ahead} of {len(mine)} methods in {columns()[metric]['name']}" if ahead else ""


def named(metrics: Iterable[str]) -> str:
    return ", ".join(columns()[metric]["name"] for metric in metrics)
