"""Segmentation of the diffusion trajectory: the edges e_0 < ... < e_N that SCTD distills between.

Source: paper Sec. 4.2; official sctd_utils.py:131-182, with its rounding corrected (real-valued
increments, so that edges ascend for every N; its N = 5 edges are reproduced exactly). The official
integer increments can be had with `floor`, as far as they ascend.
"""

import math

T_MIN, T_MAX = 20, 980


def equal_edges(n: int, t_min: int = T_MIN, t_max: int = T_MAX) -> list[int]:
    """N equal segments of [t_min, t_max]: N + 1 ascending timesteps."""
    _check(n, t_min, t_max)
    return [t_min + (t_max - t_min) * m // n for m in range(n + 1)]


def monotone_edges(
    n: int, first: float, t_min: int = T_MIN, t_max: int = T_MAX, floor: bool = False
) -> list[int]:
    """N segments whose lengths grow linearly from `first`: N + 1 ascending timesteps.

    first: length of the first segment (officially t_tau - t_min). floor: round the increment of the
    lengths down, as the official code does; the last segment then takes what is left. Raises ValueError
    unless the lengths can grow, that is first < (t_max - t_min) / N, or if N is 1.
    """
    _check(n, t_min, t_max)
    span = t_max - t_min
    if n == 1:
        raise ValueError("monotone segmentation needs N >= 2; N = 1 is the equal one")
    if not 0 < first < span / n:
        raise ValueError(
            f"monotone segmentation with N = {n} needs a first segment shorter than {span / n:.1f} "
            f"timesteps, got {first:g}"
        )
    growth = 2 * (span - n * first) / (n * (n - 1))
    growth = math.floor(growth) if floor else growth
    edges = [t_min + round(m * first + growth * m * (m - 1) / 2) for m in range(n + 1)]
    edges[-1] = t_max
    return edges


def lower_edge(edges: list[int], t: int) -> int:
    """e(t): the largest edge not above t (ValueError below the first)."""
    below = [e for e in edges if e <= t]
    if not below:
        raise ValueError(f"timestep {t} lies below the first edge {edges[0]}")
    return below[-1]


def _check(n: int, t_min: int, t_max: int) -> None:
    if n < 1:
        raise ValueError(f"the number of segments N must be at least 1, got {n}")
    if t_max - t_min < n:
        raise ValueError(f"{n} segments do not fit between timesteps {t_min} and {t_max}")
