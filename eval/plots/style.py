"""How every plot looks: width, type, colors, and the color and marker that belong to a method's name.

Nothing else in eval chooses a color for a method. Colors of `baselines/methods.yaml` are Okabe and Ito's,
which the color-blind tell apart; markers say the same again.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
import pandas as pd

from segmentdreamer.recipe.settings import read_yaml
from segmentdreamer.records import ROOT, replacing

from ..variants import method_of
from .fonts import set_fonts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REGISTRY = ROOT / "baselines" / "methods.yaml"
WIDTH = 3.5  # inches: a column of a two-column page
DIVERGING = ("#D55E00", "#F7F7F7", "#0072B2")  # worse, neither, better
SHADES = ("0.75", "0.5", "0.25", "0")  # of what is ordered and no method
# For methods that state neither color nor marker: as far from the registered ones, also to the color-blind.
SPARE_COLORS = ("#56B4E9", "#000000", "#332288", "#882255")
SPARE_MARKERS = ("P", "X", "<", ">", "p", "h")
STYLE: dict[Any, Any] = {
    "font.size": 6.5, "axes.titlesize": 7, "axes.labelsize": 6.5, "figure.labelsize": 6.5,
    "legend.fontsize": 6.5, "legend.title_fontsize": 6.5, "xtick.labelsize": 6, "ytick.labelsize": 6,
    "axes.linewidth": 0.6, "lines.linewidth": 1.0, "lines.markersize": 3,
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlepad": 3, "axes.labelpad": 2,
    "xtick.major.size": 2, "ytick.major.size": 2,
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """What a method is drawn with, in every figure."""

    color: str  # #rrggbb
    marker: str  # matplotlib's


def looks(registry: Mapping[str, Mapping[str, Any]]) -> dict[str, Look]:
    """Color and marker of every entry; what one does not state it takes of the spare ones, entry by entry.

    A spare color is never one that an entry states. ValueError if two entries state the same color.
    """
    stated: dict[str, str] = {}
    for name, entry in registry.items():
        if (color := entry.get("color")) and (first := stated.setdefault(color, name)) != name:
            raise ValueError(f"methods {first} and {name} have the same color, {color}; give one another")
    free = cycle(spare(registry))
    found = {}
    for name, entry in registry.items():
        own = {key: entry[key] for key in ("color", "marker") if key in entry}
        found[name] = Look(**own) if len(own) == 2 else replace(next(free), **own)
    return found


def spare(registry: Mapping[str, Mapping[str, Any]]) -> list[Look]:
    """The looks that no entry states."""
    taken = {entry.get("color") for entry in registry.values()}
    return [Look(color, marker) for marker in SPARE_MARKERS for color in SPARE_COLORS if color not in taken]


@cache
def registered() -> dict[str, dict[str, Any]]:
    files = REGISTRY, REGISTRY.with_name("foreign.yaml")
    return {name: entry for file in files if file.exists() for name, entry in read_yaml(file).items()}


def look(name: str) -> Look:
    """The look of a method or of a variant's method; of a name that is not registered, by its letters."""
    known, method, free = looks(registered()), method_of(name), spare(registered())
    left = [candidate for candidate in free if candidate not in known.values()] or free
    return known.get(method) or left[crc32(method.encode()) % len(left)]


@contextmanager
def style() -> Iterator[None]:
    """The common style; everything that has text is drawn inside."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield


def panels(rows: int, across: int, height: float, **options: Any) -> tuple[Figure, np.ndarray]:
    """An empty figure of the common width, `height` inches; axes (rows, across)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(rows, across, squeeze=False, **options)


def use(axes: np.ndarray, count: int, across: int) -> list[Axes]:
    """The first `count` of all panels, whose others are hidden: those with nothing below them."""
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    return list(axes.flat[max(0, count - across) : count])


def legend_columns(labels: Iterable[str]) -> int:
    """How many columns of a legend fit into the common width."""
    longest = max(map(len, labels), default=0)
    return min(5, max(1, int(WIDTH * 72 / (3.3 * longest + 22))))  # points: of a letter, of a line's sample


def draw_legend(figure: Figure, axes: Iterable[Axes], **options: Any) -> None:
    """One legend above all panels: whatever any of these axes shows, what has no value left out."""
    shown = [pair for axis in axes for pair in zip(*axis.get_legend_handles_labels(), strict=True)]
    lines = {label: line for line, label in shown if is_drawn(line)}
    figure.legend(lines.values(), lines.keys(), loc="outside upper center", ncols=legend_columns(lines),
                  frameon=False, handlelength=1.6, columnspacing=1, handletextpad=0.5, **options)  # fmt: skip


def is_drawn(artist: Any) -> bool:
    """Whether a line, or the line of error bars, has a point."""
    line = getattr(artist, "lines", [artist])[0]
    return line is None or bool(np.isfinite(np.asarray(line.get_ydata(), dtype=float)).any())


def errors(points: pd.DataFrame, center: str = "mean") -> np.ndarray:
    """Lengths of the error bars below and above `center` (2, n); zero where there is no interval."""
    middle, low, high = (points[name].to_numpy(dtype=float) for name in (center, "low", "high"))
    return np.nan_to_num(np.clip([middle - low, high - middle], 0, None))


def save(figure: Figure, path: Path) -> None:
    """Write the figure in the format of the path's suffix; equal figures give equal bytes."""
    import matplotlib

    kind = path.suffix[1:]
    set_fonts(figure)
    with (
        matplotlib.rc_context({"svg.hashsalt": "bench"}),
        warnings.catch_warnings(),
        replacing(path) as partial,
    ):
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # fonts.py says so once a script
        figure.savefig(partial, format=kind, dpi=300, metadata={"Date": None} if kind == "svg" else None)
