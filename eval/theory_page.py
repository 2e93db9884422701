"""What `eval.theory` measured, as a page and a figure; every sentence is chosen by the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from eval.style import SHADES, look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIXED = 4  # the step Δt where the length varies
LARGEST = "largest of N segments"  # the region whose error is the worst segment's
SHOWN = (1, 3, 5, 10)  # numbers of segments that the page and the figure compare
TITLES = {
    "step": "error against Δt, the stretch fixed",
    "length": f"error against length, Δt = {FIXED}",
    "jump": "error against length, one step",
    "round trip 1": "what G(z_t, t, ∅) = z_e neglects, inverted in one step",
    "round trip 2": "what G(z_t, t, ∅) = z_e neglects, inverted in two steps",
}
READING = """\
An exponent agrees when its 95 % interval (bootstrap over starting points) comes within 0.1 of the stated
one. *Shallower* in the length: the bound holds and is loose. *Steeper* in the length: its constant cannot
serve all lengths. *Shallower* in Δt: smaller steps help less than stated. The theorem states 1 and 1; in one
step Δt is the length, hence 2. For what z_e neglects nothing is stated: 2 is what a first-order step and its
return leave on a smooth field. Errors are RMS over the latent entries, of z at the target; stretches are in
timesteps. All stretches and starts: `theory.csv`; all exponents: `exponents.csv`."""


def write_page(points: pd.DataFrame, exponents: pd.DataFrame, setting: str, path: Path) -> None:
    """The table of exponents and the findings, as Markdown."""
    header = ["Measured", "Method", "Stretches", "Range", "Exponent", "Stated", "Verdict"]
    rows = [header, ["---"] * len(header), *table(exponents)]
    findings = [
        sentence
        for speak in (segmentation, constants, order, clean_end, neglected)
        for sentence in speak(points)
    ]
    lines = [
        "# Theorem 1, measured on the analytic prior", "",
        f"{setting[0].upper()}{setting[1:]}.", "", READING, "",
        *("| " + " | ".join(row) + " |" for row in rows), "",
        "![Errors against step, length and place](theory.png)", "",
        "## Where measurement and statement agree", "", *listed(exponents, agreeing=True), "",
        "## Where they do not", "", *listed(exponents, agreeing=False), "",
        "## What the sizes say", "", *(f"- {sentence}" for sentence in findings),
    ]  # fmt: skip
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


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
        rows.append([TITLES[part], method, kind, span, extent(group), f"{group['bound'].iloc[0]}", verdict])
    return rows


def extent(group: pd.DataFrame) -> str:
    """One exponent with its interval, or the range of several."""
    shown = group[["exponent", "low", "high"]].round(2) + 0.0  # no "-0.00"
    if len(group) > 1:
        return f"{shown['exponent'].min():.2f} to {shown['exponent'].max():.2f}"
    return "{:.2f} [{:.2f}, {:.2f}]".format(*shown.iloc[0])


def listed(exponents: pd.DataFrame, agreeing: bool) -> list[str]:
    """One line a part, method, range and verdict, naming the regions."""
    lines = []
    for part, method, _, span, group in grouped(exponents):
        for verdict, same in group.groupby("verdict", sort=False):
            if (verdict == "agrees") == agreeing:
                regions, bound = ", ".join(same["region"]), same["bound"].iloc[0]
                side = "" if agreeing else f": {verdict}"
                lines.append(
                    f"- {TITLES[part]}, {span}: {method} ({regions}) {extent(same)}, stated {bound}{side}"
                )
    return lines or ["- nowhere"]


def segment_errors(points: pd.DataFrame, part: str) -> pd.DataFrame:
    """Mean over starts for every equal segment: segments (their number), target, t, error, ..."""
    rows = points[(points["part"] == part) & (points["region"] == LARGEST)]
    columns = ["error", "error_clean", "length", "step"]
    mean = rows.groupby(["point", "target", "t"], as_index=False)[columns].mean()
    return mean.assign(segments=mean.groupby("point")["t"].transform("size"))


def segmentation(points: pd.DataFrame) -> Iterator[str]:
    """What more segments do to the worst segment's error, beside what the bound promises."""
    for part, words, power in (("length", f"At Δt = {FIXED}", 1), ("jump", "In one step", 2)):
        errors = segment_errors(points, part)
        largest = errors.groupby("segments")["error"].idxmax()
        worst = errors.loc[largest].set_index("segments").to_dict("index")
        shown = ", ".join(
            f"{worst[n]['error']:.1e} (N = {n}: {worst[n]['target']}-{worst[n]['t']})" for n in SHOWN
        )
        first, last = SHOWN[0], SHOWN[-1]
        factor, stated = worst[first]["error"] / worst[last]["error"], (last / first) ** power
        judged = "less than" if factor < stated / 2 else "more than" if factor > stated * 2 else "about"
        yield (
            f"{words}, the worst segment's error is {shown}. {last} segments divide it by {factor:.3g}, "
            f"{judged} the bound's {stated:.0f}."
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


def order(points: pd.DataFrame) -> Iterator[str]:
    """Whether the errors come in the order, and at the ratios, of the three bounds."""
    for part, words, power in (("length", f"At Δt = {FIXED}", 1), ("jump", "In one step", 2)):
        errors, rows = segment_errors(points, part), points[points["part"] == part]
        mean = rows.groupby(["method", "t", "target"])[["error", "error_clean", "length"]].mean()
        five = errors[errors["segments"] == 5]
        groups = (mean.loc["CDS"].query("t == t.max()"), mean.loc["GCS"], five)
        for column, unit in (("error", "z at the target"), ("error_clean", "clean latents, z / alpha")):
            cds, gcs, sctd = (float(group[column].max()) for group in groups)
            lengths = [float(group["length"].max()) for group in groups]
            stated = [(a / b) ** power for a, b in zip(lengths, lengths[1:], strict=False)]
            holds = "holds" if sctd < gcs < cds else "does not hold"
            yield (
                f"{words}, the largest errors (in {unit}) are {cds:.1e} for CDS from t = 980, {gcs:.1e} for "
                f"GCS and {sctd:.1e} for SCTD, N = 5: the stated order {holds}. Their ratios are "
                f"{cds / gcs:.3g} and {gcs / sctd:.3g}, the bounds' {stated[0]:.3g} and {stated[1]:.3g}."
            )


def clean_end(points: pd.DataFrame) -> Iterator[str]:
    """Where CDS's error arises, and whether its first order is seen."""
    mean = points[points["method"] == "CDS"].groupby(["part", "point"])[["error", "length", "step"]].mean()
    lengths, steps = mean.loc["length"], mean.loc["step"]
    short, full = lengths.iloc[0], lengths.iloc[-1]
    share = short["error"] / full["error"]
    where = "is made near the clean end" if share > 0.8 else "is spread over the trajectory"
    yield (
        f"CDS at Δt = {FIXED}: the last {short['length']:.0f} timesteps alone make {share:.0%} of the error "
        f"of all {full['length']:.0f}; it {where}."
    )
    fine, coarse = steps.iloc[0], steps.iloc[-1]
    growth = fine["error"] / fine["step"] / (coarse["error"] / coarse["step"])
    judged = "one constant serves all steps"
    if growth > 2:
        judged = "the constant of coarse steps does not bound fine ones (sigma falls like a root of t there)"
    yield (
        f"CDS: error / Δt at Δt = {fine['step']:.0f} is {growth:.3g} times that at Δt = "
        f"{coarse['step']:.0f}: {judged}."
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
        same = [str(e) for e, share in shares["cross"].items() if share > 0.9]
        if same:
            yield (
                f"At e = {', '.join(same)} that is nearly all of the shown prompt's cross term: prompt and "
                "empty prompt hardly differ there, and what remains is the solver's error."
            )


def draw(points: pd.DataFrame, folder: Path) -> None:
    """theory.svg and theory.png, the same bytes for the same numbers."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    style: dict[Any, Any] = {
        "font.size": 9, "axes.titlesize": 9.5, "legend.fontsize": 8.5, "legend.frameon": False,
        "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "theory",
    }  # fmt: skip
    with plt.rc_context(style):
        figure, axes = plt.subplots(2, 2, figsize=(6.8, 6.2), layout="constrained")
        draw_sweep(axes[0, 0], points, "step", 1)
        draw_sweep(axes[0, 1], points, "length", 1)
        draw_sweep(axes[1, 0], points, "jump", 2)
        draw_places(axes[1, 1], points)
        handles = [panel.get_legend_handles_labels() for panel in axes.flat[:3]]
        named = {label: line for lines, labels in handles for line, label in zip(lines, labels, strict=True)}
        figure.legend(named.values(), named.keys(), loc="outside upper center", ncols=3)
        figure.savefig(folder / "theory.svg", metadata={"Date": None})
        figure.set_layout_engine("none")  # it stays as laid out
        figure.savefig(folder / "theory.png", dpi=200, metadata={"Software": None})
        plt.close(figure)


def draw_sweep(axes: Axes, points: pd.DataFrame, part: str, bound: int) -> None:
    """Mean error over starts against the part's variable, with the stated slope dashed."""
    variable, unit = ("step", "step Δt") if part == "step" else ("length", "length of the stretch")
    mine = points[points["part"] == part]
    for (method, region), group in mine.groupby(["method", "region"], sort=False):
        over = {variable: "mean", "error": "max" if region == LARGEST else "mean"}
        line = group.groupby(["start", "point"]).agg(over).groupby("point").mean()
        bold = method != "SCTD" or region == LARGEST
        label = f"{method}, {region}" if bold else "SCTD, each of five segments or edges"
        color = "black" if region == LARGEST else look(str(method).lower()).color
        weight = {"lw": 1.8, "marker": "o", "ms": 3} if bold else {"lw": 1, "alpha": 0.8}
        axes.loglog(line[variable], line["error"], color=color, label=label, **weight)
    low, high, top = mine[variable].min(), mine[variable].max(), mine["error"].max()
    slope = [top * (low / high) ** bound, top]
    axes.loglog([low, high], slope, "--", color="0.6", lw=1, label="slope of the bound", zorder=0)
    bottom = mine.groupby(["region", "point", "t", "target"])["error"].mean().min()
    axes.set(xlabel=f"{unit} (timesteps)", ylabel="RMS error of z", title=TITLES[part])
    axes.set_ylim(bottom / 2, top * 3)


def draw_places(axes: Axes, points: pd.DataFrame) -> None:
    """Each segment's error at the fixed step, over its place on the trajectory."""
    from matplotlib.ticker import NullFormatter

    errors = segment_errors(points, "length")
    for n, shade in zip(SHOWN, SHADES, strict=True):
        mine = errors[errors["segments"] == n]
        axes.hlines(mine["error"], mine["target"], mine["t"], color=shade, lw=2.2, label=f"N = {n}")
    axes.set_yscale("log")
    shown = errors[errors["segments"].isin(SHOWN)]["error"]
    axes.set_ylim(shown.min() / 3, shown.max() * 2)
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="timestep t", ylabel="RMS error of z", title=f"each segment's error, Δt = {FIXED}")
    axes.legend(loc="lower right", ncols=2)
