"""The timesteps of a step: windows that sink during warm-up, and the triples drawn in them.

Official code draws an index into a table 1..1000, so a timestep is an index + 1; here every value is the
timestep itself. All draws belong to (seed, step) and happen on the CPU, which spares a GPU the wait.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from segmentdreamer.interfaces import Progress
from segmentdreamer.randomness import generator, send
from segmentdreamer.segments import T_MAX, T_MIN, lower_edge

T_MAX_BASE = 500  # official t_range [.02, .5]: timesteps 21..500 after warm-up, up to 480 more before
GAP_START = 100  # interval of ISM and GCS at the first step (annealing_intervals)


@dataclass(frozen=True)
class Times:
    """One step's timesteps e <= s < t, shared by the batch."""

    t: int
    s: int
    e: int
    collapsed: bool = False  # t was drawn nearer to its edge than delta and lifted to e + delta


def uniform_int(low: int, high: int, g: torch.Generator) -> int:
    """An integer drawn uniformly from low..high, both included."""
    return int(torch.randint(low, high + 1, (1,), generator=g))


def draw_t(progress: Progress, both_ends: bool = False) -> int:
    """t uniform in 21..500, the upper end (or both ends) lifted by Delta_k.

    ISM and SDS lift the upper end (LucidDreamer sd_utils.py:254-258), GCS and SCTD both
    (gcs_utils.py:312-351, sctd_utils.py:631-640).
    """
    low = T_MIN + 1 + (progress.shift if both_ends else 0)
    return uniform_int(low, T_MAX_BASE + progress.shift, generator(progress.seed, "t", progress.step))


def draw_each(progress: Progress, batch: int, device: torch.device | str, high: int = T_MAX) -> Tensor:
    """threestudio's times, (B,): each sample its own, uniform in 20..high (default 980)."""
    g = generator(progress.seed, "t", progress.step)
    return send(torch.randint(T_MIN, high + 1, (batch,), generator=g), device)


def draw_halving(progress: Progress, batch: int, device: torch.device | str, share: float) -> Tensor:
    """As draw_each; after this share of the run in 20..500 (threestudio's VSD)."""
    return draw_each(progress, batch, device, T_MAX if progress.share <= share else T_MAX_BASE)


def draw_segmented(edges: list[int], delta: int, redraw: bool, progress: Progress) -> Times:
    """SCTD: e is t's edge, t at least e + delta, s uniform in e + 10..t - 11 (sctd_utils.py:631-652).

    A t too near to its edge is lifted to e + delta, officially even past the next edge (here never past
    980); with `redraw` it is drawn anew between e + delta and its segment's end, where there is room.
    """
    t, g = draw_t(progress, both_ends=True), generator(progress.seed, "s", progress.step)
    e = lower_edge(edges, t)
    nearest = min(e + delta, T_MAX)
    last = min(edges[edges.index(e) + 1] - 1, T_MAX_BASE + progress.shift)
    collapsed = t < nearest and not (redraw and nearest <= last)
    if t < nearest:
        t = nearest if collapsed else uniform_int(nearest, last, g)
    return Times(t, uniform_int(e + 10, t - 11, g), e, collapsed)


def draw_compact(delta: int, progress: Progress) -> Times:
    """GCS: s lies an annealed interval below t, e up to another below s (gcs_utils.py:312-351)."""
    g = generator(progress.seed, "e", progress.step)
    gap = annealed_gap(delta, progress, ceil=True)
    t = max(draw_t(progress, both_ends=True), gap + 2)
    e = uniform_int(max(t - 2 * gap, 1), max(t - gap - 10, 2) - 1, g)
    return Times(t, max(t - gap, 2), max(e, 2))


def annealed_gap(delta: int, progress: Progress, ceil: bool) -> int:
    """An interval that shrinks from 100 to delta during warm-up, rounded up or down."""
    rest = progress.warmup_rate * (GAP_START - delta)
    return delta + (math.ceil(rest) if ceil else math.floor(rest))
