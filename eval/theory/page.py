"""What `eval.theory.experiment` measured, as a page; every sentence is chosen by the numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import pandas as pd

from ..tables.formats import grid
from .fit import EDGE, FIXED, LARGEST, SHOWN, TOLERANCE, segment_errors

TARGETS = ("to t = -1", "to t = 0", f"to t = {EDGE}")  # CDS's
TITLES = {
    "step": "error against Δt, the stretch fixed",
    "length": f"error against length, Δt = {FIXED}",
    "jump": "error against length, one step",
    "round trip 1": "what G(z_t, t, ∅) = z_e neglects, inverted in one step",
    "round trip 2": "what G(z_t, t, ∅) = z_e neglects, inverted in two steps",
}
STEPPED = {"length": f"At Δt = {FIXED}", "jump": "In one step"}
READING = f"""\
An exponent *agrees* when its 95 % interval over prompts (each prompt's starts averaged first) lies within
{TOLERANCE:g} of the stated one, and differs when it lies beyond; else it is *undecided*. *Shallower* in the
length: the bound holds and is loose. *Steeper* in the length: its constant cannot serve all lengths.
*Shallower* in Δt: smaller steps help less than stated. The theorem states
1 and 1; in one step Δt is the length, hence 2. For what z_e neglects nothing is stated: 2 is what a
first-order step and its return leave on a smooth field. Errors are RMS over the latent entries, of z at the
target; stretches are in timesteps. All stretches and starts: `theory.csv`; all exponents: `exponents.csv`;
the comparison of the methods: `methods.csv`.

CDS is followed to three targets. *t = −1*, where nothing is noise, is what the theorem speaks of; no timestep
of the schedule is there, and sigma rises from it like a root of t, so a step's order in t is not a field's
order in sigma. *t = 0* is the schedule's last timestep: what a network can be asked. *t = {EDGE}* is the
lowest edge of SCTD and the lower end of GCS's range: only there do the methods differ by their stretches
alone, so the order in the step and the order of the methods are judged there."""
COMPARING = f"""\
Every method's answer at its own target is carried to t = {EDGE} along the exact trajectory, and its error is
taken there (GCS with e = {EDGE} would be CDS). Of each pair the first has the larger bound. Errors and ratios
are geometric means over prompts, the interval is one of 95 % over prompts; the order is *as stated* where it
lies above 1, and *reversed* where it lies below. A trajectory that runs where components part magnifies what
is missed above, so single prompts may stand far out."""


def write_page(
    points: pd.DataFrame, exponents: pd.DataFrame, methods: pd.DataFrame, setting: str, path: Path
) -> None:
    """The tables of exponents and of methods, and the findings, as Markdown."""
    header = ["Measured", "Method", "Stretches", "Target t", "Range", "Exponent", "Stated", "Verdict"]
    common = ["Measured", "Stated larger", "Stated smaller", "Errors", "Ratio", "Stated", "Order"]
    sizes = chain(segmentation(points), constants(points), clean_end(points), neglected(points))
    parts = [
        "# Theorem 1, measured on the analytic prior", f"{setting[0].upper()}{setting[1:]}.", READING,
        grid(header, table(exponents)), "![Errors against step, length and place](theory.png)",
        f"## The methods at one target, t = {EDGE}", COMPARING, grid(common, compared(methods)),
        items(order(exponents, methods)),
        "## Where measurement and statement agree", items(listed(exponents, ["agrees"])),
        "## Where they do not", items(listed(exponents, ["shallower", "steeper"])),
        "## Where these prompts decide nothing", items(listed(exponents, ["undecided"])),
        "## What the sizes say", items(sizes),
    ]  # fmt: skip
    text = re.sub(r"(t = |e)-(?=\d)", r"\1−", "\n\n".join(parts))
    path.write_text(text + "\n", encoding="utf-8")


def items(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def grouped(exponents: pd.DataFrame) -> Iterator[tuple[str, str, str, str, pd.DataFrame]]:
    """Part, method, stretches, range of the variable, and the exponents of that group."""
    several = (exponents["method"] == "SCTD") & (exponents["region"] != LARGEST)
    places = exponents["part"].map(lambda part: "each segment, N = 5" if part == "step" else "from each edge")
    kind = exponents["region"].where(~several, places)
    coarse = (exponents["part"] == "step") & (exponents["from"] > 4)
    keys = [exponents["part"], exponents["method"], kind, coarse]
    for (part, method, name, _), group in exponents.groupby(keys, sort=False):
        span = f"{group['from'].min():.0f} to {group['to'].max():.0f}"
        yield str(part), str(method), str(name), span, group


def table(exponents: pd.DataFrame) -> list[list[str]]:
    """The rows of the page's table: one a part, method, kind of stretch and range."""
    rows = []
    for part, method, kind, span, group in grouped(exponents):
        counts = group["verdict"].value_counts()
        shares = [f"{name} {n} of {len(group)}" for name, n in counts.items()]
        verdict = ", ".join(shares) if len(group) > 1 else group["verdict"].iloc[0]
        bound = f"{group['bound'].iloc[0]}"
        low, high = group["target_low"].min(), group["target_high"].max()
        ends = f"{low}".replace("-", "−") if low == high else f"{low} to {high}"
        rows.append([TITLES[part], method, kind, ends, span, extent(group), bound, verdict])
    return rows


def compared(methods: pd.DataFrame) -> list[list[str]]:
    """The rows of the comparison at one target."""
    rows = []
    for row in methods.to_dict("records"):
        interval = "" if row["low"] != row["low"] else f" [{row['low']:.3g}, {row['high']:.3g}]"
        errors = f"{row['error_larger']:.1e}, {row['error_smaller']:.1e}"
        ratio, stated = f"{row['ratio']:.3g}{interval}", f"{row['stated']:.3g}"
        rows.append(
            [STEPPED[row["part"]], row["larger"], row["smaller"], errors, ratio, stated, row["verdict"]]
        )
    return rows


def extent(group: pd.DataFrame) -> str:
    """One exponent with its interval, or the range of several."""
    shown = group[["exponent", "low", "high"]].round(2) + 0.0  # no "-0.00"
    text = "{:.2f} [{:.2f}, {:.2f}]".format(*shown.iloc[0])
    if len(group) > 1:
        text = f"{shown['exponent'].min():.2f} to {shown['exponent'].max():.2f}"
    return text.replace("-", "−")


def listed(exponents: pd.DataFrame, verdicts: list[str]) -> list[str]:
    """One line a part, method, range and verdict, naming the regions."""
    lines = []
    for part, method, _, span, group in grouped(exponents):
        for verdict, same in group[group["verdict"].isin(verdicts)].groupby("verdict", sort=False):
            who = f"{method} ({', '.join(same['region'])}) {extent(same)}, stated {same['bound'].iloc[0]}"
            side = f": {verdict!s}" if len(verdicts) > 1 else ""
            lines.append(f"{TITLES[part]}, {span}: {who}{side}")
    return lines or ["nowhere"]


def segmentation(points: pd.DataFrame) -> Iterator[str]:
    """What more segments do to the worst segment's error, beside what the bound promises."""
    ends = (("error", "each at its own target"), ("error_edge", f"carried to t = {EDGE}"))
    for part, power in (("length", 1), ("jump", 2)):
        errors = segment_errors(points, part)
        errors = errors[errors["segments"].isin(SHOWN)]
        for column, where in ends:
            largest = errors.groupby("segments")[column].idxmax()
            worst = errors.loc[largest].set_index("segments").to_dict("index")
            found = [f"{worst[n][column]:.1e} (N = {n}: {worst[n]['target']}-{worst[n]['t']})" for n in SHOWN]
            first, last = SHOWN[0], SHOWN[-1]
            factor, stated = worst[first][column] / worst[last][column], (last / first) ** power
            judged = "less than" if factor < stated / 2 else "more than" if factor > stated * 2 else "about"
            yield (
                f"{STEPPED[part]}, the worst segment's error, {where}, is {', '.join(found)}. {last} "
                f"segments divide it by {factor:.3g}, {judged} the bound's {stated:.0f}."
            )


def constants(points: pd.DataFrame) -> Iterator[str]:
    """How much the bound's constant varies between segments of equal length."""
    for part, words in (("length", f"error / (Δt × length) at Δt = {FIXED}"), ("jump", "error / length²")):
        errors = segment_errors(points, part)
        errors["constant"] = errors["error"] / (errors["length"] * errors["step"])
        five = errors[errors["segments"] == 5].sort_values("constant").to_dict("records")
        low, high = (f"{row['constant']:.1e} ({row['target']}-{row['t']})" for row in (five[0], five[-1]))
        factor = five[-1]["constant"] / five[0]["constant"]
        judged = "one constant describes them" if factor < 2 else "it depends on the place too"
        yield (
            f"The constant {words} of five equal segments lies between {low} and {high}, a factor of "
            f"{factor:.3g}: {judged}."
        )


def order(exponents: pd.DataFrame, methods: pd.DataFrame) -> Iterator[str]:
    """The verdicts at the common target: the order in the step, then that of the methods and its size."""
    mine = exponents[(exponents["part"] == "step") & (exponents["target_high"] == EDGE)]
    for method, group in mine.groupby("method", sort=False):
        spans = [
            f"{row['exponent']:.2f} for Δt from {row['from']:.0f} to {row['to']:.0f} ({row['verdict']})"
            for row in group.to_dict("records")
        ]
        yield f"In Δt, stated 1: {method} ({group['region'].iloc[0]}) has exponent {' and '.join(spans)}."
    for part, group in methods.groupby("part", sort=False):
        held = group["verdict"] == "as stated"
        others = "; ".join(
            f"{row.verdict}: {row.larger} against {row.smaller}, {row.ratio:.3g} for the "
            f"bounds' {row.stated:.3g}"
            for row in group[~held].itertuples()
        )
        yield (
            f"{STEPPED[str(part)]}, {held.sum()} of {len(group)} pairs are in the order of their bounds"
            f"{'; ' + others if others else ''}."
        )


def clean_end(points: pd.DataFrame) -> Iterator[str]:
    """What each of CDS's targets shows: where its error arises, and whether its first order is seen."""
    for name in TARGETS:
        mine = points[points["region"] == name]
        lengths, steps = (
            mine[mine["part"] == part].groupby("point")[["error", "length", "step"]].mean()
            for part in ("length", "step")
        )
        short, full = lengths.iloc[0], lengths.iloc[-1]
        share = short["error"] / full["error"]
        where = "is made there" if share > 0.8 else "is spread over the trajectory"
        fine, coarse = steps.iloc[0], steps.iloc[-1]
        growth = fine["error"] / fine["step"] / (coarse["error"] / coarse["step"])
        judged = "does not bound fine ones" if growth > 2 else "serves all"
        yield (
            f"CDS {name}, Δt = {FIXED}: an error of {full['error']:.1e}, {share:.0%} of it in the last "
            f"{short['length']:.0f} timesteps alone: it {where}. Error / Δt at Δt = {fine['step']:.0f} is "
            f"{growth:.3g} times that at Δt = {coarse['step']:.0f}: the constant of coarse steps {judged}."
        )


def neglected(points: pd.DataFrame, length: int = 96) -> Iterator[str]:
    """What the approximation G(z_t, t, null) = z_e leaves out, beside SCTD's own terms."""
    for hops, words in ((1, "one step"), (2, "two steps")):
        rows = points[(points["part"] == f"round trip {hops}") & (points["length"] == length)]
        mean = rows.groupby("target")[["error", "self", "cross", "cross_other"]].mean()
        shares = mean[["self", "cross", "cross_other"]].rdiv(mean["error"], axis=0)
        own, crossed, other = (f"{s.min():.1%} to {s.max():.1%}" for _, s in shares.items())
        yield (
            f"Inverted in {words} over {length} timesteps, G(z_t, t, ∅) misses z_e by "
            f"{mean['error'].min():.1e} to {mean['error'].max():.1e}: {own} of the self term, {crossed} of "
            f"the cross term under the prompt that the view shows, {other} of it under another."
        )
        if same := [str(e) for e, share in shares["cross"].items() if share > 0.9]:
            yield (
                f"At e = {', '.join(same)} that is nearly all of the shown prompt's cross term: prompt and "
                "empty prompt hardly differ there, and what remains is the solver's error."
            )
