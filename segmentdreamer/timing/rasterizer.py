"""Time the CPU rasterizer, forward and backward: `python -m segmentdreamer.timing.rasterizer`.

Four views of a ball of Gaussians, projection included, on one thread; the median of some runs next
to its target. The first size is also run through the dense oracle, for their ratio.
"""

import math
import statistics
import time
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor

from segmentdreamer.command import Program, settings
from segmentdreamer.rasterizer import dense, rasterization
from segmentdreamer.scene import cameras

VIEWS = 4
MIN_SPEEDUP = 50


class Case(NamedTuple):
    """A size to time and the milliseconds it may take."""

    pixels: int
    gaussians: int
    scale: float
    target_ms: float


CASES = (Case(64, 1_000, 0.1, 30), Case(128, 3_000, 0.06, 120), Case(512, 20_000, 0.02, 1_200))


def ball(count: int, scale: float, seed: int = 0) -> dict[str, Any]:
    """`count` Gaussians of one size, uniform in a ball of radius .7, of opacity .1 to .9, requiring grad."""
    draw = torch.Generator().manual_seed(seed)
    direction = torch.nn.functional.normalize(torch.randn(count, 3, generator=draw), dim=-1)
    radius = 0.7 * torch.rand(count, 1, generator=draw) ** (1 / 3)
    scene = {
        "means": direction * radius,
        "quats": torch.randn(count, 4, generator=draw),
        "scales": torch.full((count, 3), scale),
        "opacities": 0.1 + 0.8 * torch.rand(count, generator=draw),
        "colors": torch.rand(count, 3, generator=draw),
    }
    return {name: tensor.requires_grad_() for name, tensor in scene.items()}


def orbit(views: int, pixels: int) -> tuple[Tensor, Tensor]:
    """Cameras on a circle 20 degrees above the ball: viewmats (C, 4, 4) and Ks (C, 3, 3)."""
    around = cameras.orbit(views, 20, 2.9, math.radians(40), pixels)
    return around.viewmats, around.Ks


def milliseconds(render: Callable[..., Any], case: Case, runs: int) -> float:
    """Median time of a forward and a backward pass, after one pass to warm up."""
    scene = ball(case.gaussians, case.scale)
    viewmats, Ks = orbit(VIEWS, case.pixels)
    backgrounds = torch.ones(VIEWS, 3)
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        image, _, _ = render(
            **scene, viewmats=viewmats, Ks=Ks, width=case.pixels, height=case.pixels, backgrounds=backgrounds
        )
        image.square().mean().backward()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[1:])


def rasterizer(
    runs: Annotated[int, settings("runs per size (the median is shown)", min=1)] = 9,
    no_dense: Annotated[bool, settings("skip the dense oracle", "--no-dense")] = False,
) -> None:
    """Time the CPU rasterizer on one thread."""
    torch.set_num_threads(1)
    print(f"{VIEWS} views, forward and backward, one thread, median of {runs} runs")
    for case in CASES:
        taken = milliseconds(rasterization, case, runs)
        print(
            f"{case.pixels:4d} px, {case.gaussians:6,d} Gaussians of scale {case.scale}: "
            f"{taken:7.1f} ms (target {case.target_ms:,.0f})",
            flush=True,
        )
        if case is CASES[0] and not no_dense:
            slow = milliseconds(dense.rasterization, case, runs=2)
            print(f"        dense: {slow:,.0f} ms, {slow / taken:.0f}x (target {MIN_SPEEDUP}x)")


main = Program(rasterizer)

if __name__ == "__main__":
    main()
