"""The caption of Table 1: what was run, how to read a cell, what was tested and what was not, protocols."""

from __future__ import annotations

from collections.abc import Iterator

from ..metrics import columns
from ..run import Run
from ..statistics.comparison import ALPHA, smallest_p
from ..statistics.intervals import KIND, SMALLEST_SAMPLE
from .analysis import Analysis
from .formats import BETTER, WORSE
from .layout import Setting
from .paper import SCALE

CEILING = "truth"  # the control that no method should beat


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
        parts.append(f"{failed} asset(s) failed (notes): the first block counts the {n} of {asked} prompts "
                     f"on which every method succeeded{second}.")  # fmt: skip
    parts += [*tell_tests(analysis, setting), *tell_untested(analysis, setting)]
    if setting.paper and setting.scale == SCALE:
        parts.append("The paper's value stands below this run's; the notes say what differs by design.")
    parts.append("Figures of one scale are never compared with another's.")
    protocols = [f"{metric}: {text}" for metric, text in run.protocols.items()]
    if protocols:
        parts.append(f"Protocols ({run.protocol_id}): {'; '.join(protocols)}.")
    return " ".join(parts)


def tell_tests(analysis: Analysis, setting: Setting) -> Iterator[str]:
    """What letters, bold and marks mean, over which families, and whether anything could be significant."""
    judged = analysis.comparisons.dropna(subset="holm_pairs")
    if judged.empty:
        return
    pairs = int(judged.groupby("metric").size().max())
    family = int(analysis.comparisons["holm"].notna().sum())
    least = smallest_p(len(analysis.complete))
    yield (
        f"Methods that share a letter do not differ: paired sign-flip tests over prompts (pooled distances: "
        f"jackknife t) of all pairs, Holm over the {pairs} pairs of a column, p < {ALPHA:g}; bold is a best "
        "method that shares its letter with no other."
    )
    if family:
        yield (
            f"{BETTER} better, {WORSE} worse than {setting.title(setting.reference)}: the same tests, Holm "
            f"over all {family} comparisons with it."
        )
    reached = [f"{min(1.0, pairs * least):.2g} after Holm over a column's pairs"]
    reached += [f"{min(1.0, family * least):.2g} over all comparisons"] * bool(family)
    yield f"The smallest p that sign flips can attain is {least:.2g}: {', '.join(reached)}."


def tell_untested(analysis: Analysis, setting: Setting) -> Iterator[str]:
    """Which columns have no letters though they are no costs, and why."""
    known = columns()
    idle = [m for m in analysis.primary if not known[m].get("cost")]
    constant = [known[m]["name"] for m in idle if m in analysis.constant]
    if constant:
        yield f"Equal for all methods on every prompt, so not tested: {', '.join(constant)}."
    secondary = [m for m in idle if m in analysis.untested]
    if secondary:
        names = ", ".join(known[m]["name"] for m in secondary)
        behind = [text for m in secondary if (text := tell_ceiling(analysis, setting, m))]
        yield (
            f"Shown without tests, and secondary: {names}. Where the true scene is known, the columns "
            "against it say what is better; the reference's images have colored backgrounds, which no asset "
            "has" + "".join(f"; {text}" for text in behind) + "."
        )  # fmt: skip


def tell_ceiling(analysis: Analysis, setting: Setting, metric: str) -> str:
    """How many methods the control that none should beat stands behind in a metric; nothing if none."""
    means = analysis.summary[analysis.summary["metric"] == metric].set_index("method")["mean"]
    if CEILING not in means:
        return ""
    sign = -1 if columns()[metric]["better"] == "down" else 1
    mine = means[means.index.isin(analysis.comparisons[["method", "against"]].to_numpy().ravel())]
    ahead = int((sign * mine > sign * means[CEILING]).sum())
    text = f"the {setting.title(CEILING)} itself stands behind {ahead} of {len(mine)} methods"
    return f"in {columns()[metric]['name']} {text}" if ahead else ""
