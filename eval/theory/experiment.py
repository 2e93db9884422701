"""Theorem 1, measured: the error of first-order consistency maps on a prior whose ODE is solved exactly.

    python -m eval.theory --views results/mini/truth/*/views.zip --prior toybox/models/prior --out FOLDER

A consistency function that agrees with itself down to its target has, at z_t, the first-order solver's own
answer, reached in steps of Delta t; the distillation error is what separates it from the exact trajectory's:
O(Delta t) T for CDS (target: the clean latent), O(Delta t) (T - e) for GCS (e random) and
O(Delta t) (s_{m+1} - s_m) for SCTD (the segment's edge). Three questions, in the column `part`:

step        the error as Delta t varies, the stretch [target, t] being fixed
length      the error as the stretch varies, Delta t being fixed
jump        the same stretches in the losses' single step: Delta t is the length, so the bound is its square

and `round trip 1|2`: what SCTD neglects when z_e stands for G(z_t, t, null), z_t being inverted from z_e
in one or two steps. CDS is followed to three targets (see page.READING); only at EDGE do methods differ by
their stretches alone: there they are compared, answers at higher targets being carried down along the exact
trajectory (`error_edge`).

The prior is the Gaussian mixture over true views' latents (a label is a prompt); its components' deviation
is the held-out views' distance from the nearest center, so that these, noised, are typical starting points.
The unit is the prompt, since its starts are alike. Nothing here speaks of a trained network.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pandas as pd

from segmentdreamer.command import Overrides, Program, Scale, inputs, outputs, settings

from ..reference.samples import configure
from .figure import draw
from .fit import EDGE, FIXED, LARGEST, SHOWN, compare_methods, fit_exponents
from .page import write_page

if TYPE_CHECKING:
    from torch import Tensor

    from segmentdreamer.diffusion.mixture import MixturePrior
    from segmentdreamer.prior.options import PriorConfig

T, CLEAN = 980, -1  # the segments span [EDGE, T]; CLEAN is the time without noise
STEPS = (1, 2, 4, 8, 16, 32, 64)
LENGTHS = (12, 17, 24, 34, 48, 68, 96, 136, 192)  # 192: the segments of N = 5
SEGMENTS = (1, 2, 3, 5, 10, 20, 40)
DRAWS, MARGIN = 12, 96  # GCS: random targets e, at least so far below T
TO_EDGE, RANDOM = f"to t = {EDGE}", "to random e"  # the regions of CDS's last target and of GCS
OMEGA = 7.5  # guidance of SCTD's terms, to which the round trip is compared


@dataclass(frozen=True)
class Starts:
    """Held-out latents z_0 (S, 4, h, w), the noise that lifts them to any time, and their labels."""

    z_0: Tensor
    noise: Tensor
    labels: list[str]


@dataclass(frozen=True)
class Route:
    """A stretch from t down to `target` in steps of about `step`; `point` numbers its sweep's points."""

    part: str
    method: str
    region: str
    point: int
    t: int
    target: int
    step: float

    @property
    def steps(self) -> int:
        return max(1, round((self.t - self.target) / self.step))

    @property
    def compared(self) -> bool:
        """Whether its answer is carried to EDGE, for what is compared there."""
        shown = self.region in (TO_EDGE, RANDOM) or (self.region == LARGEST and SEGMENTS[self.point] in SHOWN)
        return self.part != "step" and shown


def routes(seed: int) -> Iterator[Route]:
    """Every stretch that is measured."""
    from segmentdreamer.segments import equal_edges

    strata = np.linspace(EDGE, T - MARGIN, DRAWS + 1)
    targets = list(map(int, np.random.default_rng(seed).uniform(strata[:-1], strata[1:])))
    edges = {n: equal_edges(n, EDGE, T) for n in SEGMENTS}
    ends = {CLEAN: "to t = -1", 0: "to t = 0", EDGE: TO_EDGE}
    for i, size in enumerate(STEPS):
        yield from (Route("step", "CDS", name, i, T, end, size) for end, name in ends.items())
        yield from (Route("step", "GCS", RANDOM, i, T, e, size) for e in targets[::3])
        pairs = zip(edges[5], edges[5][1:], strict=False)
        yield from (Route("step", "SCTD", f"{e}-{t}", i, t, e, size) for e, t in pairs)
    for part, step in (("length", float(FIXED)), ("jump", math.inf)):
        for i, t in enumerate(edges[10][1:]):
            yield from (Route(part, "CDS", name, i, t, end, step) for end, name in ends.items())
        yield from (Route(part, "GCS", RANDOM, i, T, e, step) for i, e in enumerate(targets))
        for i, length in enumerate(LENGTHS):
            yield from (Route(part, "SCTD", f"from {e}", i, e + length, e, step) for e in edges[5][:-1])
        for i, n in enumerate(SEGMENTS):
            pairs = zip(edges[n], edges[n][1:], strict=False)
            yield from (Route(part, "SCTD", LARGEST, i, t, e, step) for e, t in pairs)


def measure_routes(prior: MixturePrior, starts: Starts, seed: int) -> pd.DataFrame:
    """One row a route and start: what first-order steps miss of the conditional trajectory's end.

    `error` at the target; `error_edge`, of routes that are compared, after the exact trajectory to EDGE.
    """
    from segmentdreamer.diffusion.mixture import levels

    cond = prior.encode_prompt(starts.labels)
    stretches = list(routes(seed))
    ends: dict[int, set[int]] = defaultdict(set)
    for r in stretches:
        ends[r.t] |= {r.target, EDGE} if r.compared else {r.target}

    @cache
    def start(t: int) -> Tensor:
        (ratio,), (alpha,) = levels(prior.alphas_cumprod, [t])
        return alpha * (starts.z_0 + ratio * starts.noise)

    @cache
    def exact(t: int, target: int) -> Tensor:
        above = min((end for end in ends[t] if end > target), default=t)  # the trajectory goes through it
        return prior.flow(start(t) if above == t else exact(t, above), above, target, cond)

    @cache
    def stepped(t: int, target: int, steps: int) -> Tensor:
        return prior.march(start(t), np.linspace(t, target, steps + 1).tolist(), cond)

    @cache
    def carried(t: int, target: int, steps: int) -> Tensor:
        return prior.flow(stepped(t, target, steps), target, EDGE, cond)

    rows: list[dict] = []
    for r in stretches:
        key = r.t, r.target, r.steps
        misses = {"error": stepped(*key) - exact(r.t, r.target)}
        if r.compared:
            misses["error_edge"] = carried(*key) - exact(r.t, EDGE)
        length = r.t - r.target
        shared = {"part": r.part, "method": r.method, "region": r.region, "point": r.point, "t": r.t,
                  "target": r.target, "length": length, "step": length / r.steps}  # fmt: skip
        rows += by_start(starts, shared, misses)
    return pd.DataFrame(rows)


def measure_round_trips(prior: MixturePrior, starts: Starts) -> pd.DataFrame:
    """One row an inversion e -> (s ->) t and start, s halfway: how far one step back to e misses z_e.

    `self` and `cross` are the RMS of SCTD's two terms there, to which the miss is compared; `cross_other`
    is the second one under the next prompt, which these views do not show.
    """
    from segmentdreamer.diffusion.guidance import guided
    from segmentdreamer.diffusion.solver import add_noise, ode_step
    from segmentdreamer.segments import equal_edges

    names = sorted(set(prior.labels))
    following = dict(zip(names, names[1:] + names[:1], strict=True))
    a, conditioning = prior.alphas_cumprod, prior.conditioning(starts.labels)
    other = prior.conditioning([following[label] for label in starts.labels])
    rows: list[dict] = []
    for e in equal_edges(5, EDGE, T)[:-1]:
        z_e = add_noise(a, starts.z_0, starts.noise, e)
        for (point, length), hops in product(enumerate(LENGTHS), (1, 2)):
            t, s = e + length, e + length // 2
            z_t = prior.march(z_e, [e, t] if hops == 1 else [e, s, t], conditioning.null)
            eps_hat, eps_other = (guided(prior, z_t, t, c, OMEGA) for c in (conditioning, other))
            back = prior.march(z_t, [t, e], conditioning.null)
            G_s = prior.march(ode_step(a, z_t, t, s, eps_hat), [s, e], conditioning.null)
            G_y, G_other = (ode_step(a, z_t, t, e, eps) for eps in (eps_hat, eps_other))
            terms = {"error": back - z_e, "self": G_s - z_e, "cross": z_e - G_y, "cross_other": z_e - G_other}
            shared = {"part": f"round trip {hops}", "method": "SCTD", "region": f"from {e}", "point": point,
                      "t": t, "target": e, "length": length, "step": length / hops}  # fmt: skip
            rows += by_start(starts, shared, terms)
    return pd.DataFrame(rows)


def by_start(starts: Starts, shared: dict, latents: dict[str, Tensor]) -> list[dict]:
    """One row a start: the shared columns and the RMS of every named batch (S, 4, h, w)."""
    values = {name: x.square().mean((1, 2, 3)).sqrt().tolist() for name, x in latents.items()}
    return [
        shared | {"start": i, "prompt": label} | {name: column[i] for name, column in values.items()}
        for i, label in enumerate(starts.labels)
    ]


def build(
    views: list[Path], prior: PriorConfig, every: int, count: int, seed: int
) -> tuple[MixturePrior, Starts]:
    """The mixture over every `every`-th view of each archive, and `count` starts from the views between."""
    import torch

    from segmentdreamer.diffusion.mixture import MixturePrior
    from segmentdreamer.prior.diffusers_prior import open_prior
    from segmentdreamer.randomness import generator

    from ..views.archive import composite, read_views

    encoder = open_prior(prior, "cpu")
    centers, held, labels = [], [], []
    for path in views:
        images = torch.from_numpy(composite(read_views(path))).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            latents = encoder.encode(images).double()
        chosen = torch.arange(len(latents)) % every == 0
        if chosen.all():
            raise ValueError(f"{path}: no view is left between the centers")
        centers.append(latents[chosen])
        held.append(latents[~chosen])
        labels += [path.parent.name] * int(chosen.sum())
    pairs = zip(held, centers, strict=True)
    nearest = torch.cat([torch.cdist(h.flatten(1), c.flatten(1)).min(1).values for h, c in pairs])
    deviation = float(nearest.square().mean() / centers[0][0].numel()) ** 0.5
    g = generator(seed, "starts")
    picks = [i for i in range(len(held)) for _ in range(count)]
    z_0 = torch.stack([held[i][int(torch.randint(len(held[i]), (), generator=g))] for i in picks])
    noise = torch.randn(z_0.shape, generator=g, dtype=z_0.dtype)
    names = [views[i].parent.name for i in picks]
    mixture = MixturePrior(torch.cat(centers), deviation, labels, alphas_cumprod=encoder.alphas_cumprod)
    return mixture, Starts(z_0, noise, names)


def reference_change(prior: MixturePrior, starts: Starts) -> float:
    """How far the exact trajectory's clean end moves when the tolerance is quartered, from t = T down."""
    from segmentdreamer.diffusion.solver import add_noise

    z_t = add_noise(prior.alphas_cumprod, starts.z_0, starts.noise, T)
    cond = prior.encode_prompt(starts.labels)
    ends = [prior.flow(z_t, T, CLEAN, cond, tolerance) for tolerance in (1e-12, 2.5e-13)]
    return float((ends[0] - ends[1]).abs().max())


def measure_theory(
    views: Annotated[list[Path], inputs("PROMPT/views.zip, ...", metavar="FILE...")],
    out: Annotated[Path, outputs("folder of tables, page and figure")],
    prior: Annotated[
        Path | None, inputs("the pipeline folder that encodes them, instead of the scale's prior")
    ] = None,
    scale: Scale = "mini",
    overrides: Overrides = None,
    every: Annotated[int, settings("every n-th view is a center", min=1)] = 3,
    starts: Annotated[int, settings("starting points a prompt", min=1)] = 2,
    seed: Annotated[int, settings("of the starting points")] = 0,
) -> None:
    """Measure Theorem 1 on the analytic prior."""
    import torch

    torch.set_num_threads(1)
    mixture, begun = build(views, configure(prior, scale, overrides), every, starts, seed)
    points = pd.concat([measure_routes(mixture, begun, seed), measure_round_trips(mixture, begun)])
    exponents, methods = fit_exponents(points), compare_methods(points)
    out.mkdir(parents=True, exist_ok=True)
    points.to_csv(out / "theory.csv", index=False, float_format="%.6g")
    exponents.to_csv(out / "exponents.csv", index=False, float_format="%.4g")
    methods.to_csv(out / "methods.csv", index=False, float_format="%.4g")
    setting = (
        f"{len(mixture.centers)} components of deviation {mixture.deviation:.3g} under {len(views)} "
        f"prompts, {len(begun.labels)} starting points; the exact trajectory moves by at most "
        f"{reference_change(mixture, begun):.0e} when its tolerance is quartered"
    )
    write_page(points, exponents, methods, setting, out / "theory.md")
    draw(points, out)


main = Program(measure_theory)
