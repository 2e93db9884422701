"""The further methods in closed form, in float64: identities, switches, what each draws."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from toys import ALPHAS, ToyPrior, double, relative_error, toy_network

from baselines.cfd import CFD, barycentric, flatten
from baselines.dreamdpo import DreamDPO
from baselines.sdi import SDI, Route
from baselines.sds import SDS
from baselines.sds_bridge import SDSBridge
from baselines.vsd import VSD, denoising_error
from segmentdreamer.diffusion.guidance import guidance, guided
from segmentdreamer.diffusion.solver import add_noise, alpha, noise_to_signal, ode_step, sigma
from segmentdreamer.interfaces import Conditioning, Prior, Progress, Views


def test_sdi_without_overshoot_is_ism_with_the_noise_that_was_found() -> None:
    prior, z_0, noise, text = double()
    a, route = prior.alphas_cumprod, Route(340, (-99, 1, 101, 201, 301, 340))
    x = z_0
    for here, there in zip(route.points, route.points[1:], strict=False):
        x = ode_step(a, x, max(here, 0), there, guided(prior, x, here, text, -7.5))
    found = (x - alpha(a, 340) * z_0) / sigma(a, 340)
    g = SDI(lam=1, eta=0, delta=0).update(prior, z_0, torch.stack([noise] * 5), text, route)
    expected = noise_to_signal(a, 340) * (guided(prior, x, 340, text, 7.5) - found)
    assert relative_error(g.latent, expected) < 1e-10


def test_sdi_adds_noise_of_the_posteriors_deviation_at_each_hop() -> None:
    prior = ToyPrior(lambda x, t, c: torch.zeros_like(x), ALPHAS.double(), torch.float64)
    _, z_0, noise, text = double()
    a, route = prior.alphas_cumprod, Route(1, (-99, 1))
    g = [SDI(lam=1, eta=eta).update(prior, z_0, noise[None], text, route).latent for eta in (0.0, 0.3)]
    deviation = ((1 - a[0]) / (1 - a[1]) * (1 - a[1] / a[0])).sqrt()
    assert relative_error(g[0] - g[1], 0.3 * deviation * noise / alpha(a, 1)) < 1e-10


def test_the_literal_scale_is_another_one_without_perp_neg_alone() -> None:
    prior, z_0, noise, text = double()
    perp = replace(text, perp=text.cond.expand(2, -1, -1, -1), perp_weights=torch.ones(2, 3).double())

    def run(loss: SDI, text: Conditioning) -> Tensor:
        return loss.update(prior, z_0, noise[None], text, Route(80, (-99, 90))).latent

    plain, literal = SDI(), SDI(literal_s=True)
    assert torch.equal(run(literal, text), run(SDI(omega=8.5, inversion_omega=-6.5), text))
    assert torch.equal(run(literal, perp), run(plain, perp))


def test_sdis_route_sinks_and_overshoots_by_less_than_a_hop() -> None:
    routes = [SDI().draw_route(Progress(step, 400, 3)) for step in range(400)]
    assert (routes[0].t, routes[-1].t) == (980, 251)
    over = [route.points[-1] - route.t for route in routes]
    assert min(over) == 0 and 80 < max(over) < 100 and all(route.points[-1] <= 999 for route in routes)
    assert all(route.points[:3] == (-99, 1, 101) and route.points[-2] < route.t for route in routes)
    assert SDI(delta=0).draw_route(Progress(399, 400, 3)).points == (-99, 1, 101, 201, 251)


def test_a_time_below_zero_has_the_level_of_zero_and_reaches_the_network() -> None:
    times: list[Tensor] = []

    def network(x: Tensor, t: Tensor, c: Tensor) -> Tensor:
        times.append(t)
        return x

    prior = ToyPrior(network, ALPHAS)
    prior.prediction = "v_prediction"
    x, cond = torch.ones(1, 4, 2, 2), torch.zeros(1, 1, 1)
    at_zero = alpha(ALPHAS, 0) + sigma(ALPHAS, 0)
    assert torch.allclose(prior.eps(x, -99, cond), at_zero * x) and times[0].tolist() == [-99]


def test_vsd_against_the_noise_is_sds_and_against_its_own_network_nothing() -> None:
    prior, z_0, noise, text = double()
    sds = SDS(omega=7.5, lam=0.1, weight="sds").update(prior, z_0, noise, text, 300)
    g = VSD().update(prior, z_0, noise, text, 300, lambda x, t: noise)
    assert relative_error(g.latent, sds.latent) < 1e-12
    same = VSD(omega=1.0).update(prior, z_0, noise, text, 300, lambda x, t: prior.eps(x, t, text.cond))
    assert same.latent.abs().max() < 1e-12


def test_what_learns_is_judged_in_what_it_predicts() -> None:
    _, z_0, noise, text = double()
    t = torch.tensor([7, 500, 990])
    v = ToyPrior(toy_network, ALPHAS.double(), torch.float64)
    v.prediction = "v_prediction"
    error = denoising_error(v, lambda x, t: v.eps(x, t, text.cond), z_0, noise, t)
    a, z_t = v.alphas_cumprod, add_noise(v.alphas_cumprod, z_0, noise, t)
    target = alpha(a, t) * noise - sigma(a, t) * z_0
    assert relative_error(error, (toy_network(z_t, t, text.cond) - target).square()) < 1e-9


class Pupil:
    """A network that learns one shift of its prediction."""

    def begin(self, _: int) -> dict[str, Tensor]:
        return {"shift": torch.zeros(1, 4, 1, 1)}

    def __call__(self, weights: dict[str, Tensor], x: Tensor, *_: Tensor) -> Tensor:
        return x * 0 + weights["shift"]


def test_vsds_network_learns_what_it_sees_and_only_in_its_state() -> None:
    prior, z_0, _, text = double()
    prior.learner = lambda rank: Pupil()
    text, state, losses = replace(text, source=text.null), dict[str, Any](), list[float]()
    for step in range(30):
        progress = Progress(step, 30, 0, state=state)
        losses.append(float(VSD(rate=0.05).__call__(prior, 5 + 0 * z_0, text, progress).scalars["lora_loss"]))
    assert set(state) == {"weights", "moments"} and not state["weights"]["shift"].requires_grad
    assert state["weights"]["shift"].abs().min() > 0 and all(map(bool, losses))
    assert (prior.nfe, prior.differentiated) == (30 * 3 * 4, 30 * 3)
    with pytest.raises(ValueError, match="a copy of it can learn"):
        VSD()(double()[0], z_0, text, Progress(0, 30, 0))


def test_sds_bridge_is_sds_until_its_share_of_the_run_and_nothing_between_equal_prompts_after_it() -> None:
    prior, z_0, noise, text = double()
    text = replace(text, source=text.cond)
    sds = SDS(omega=100.0, lam=0.1, weight="sds").update(prior, z_0, noise, text, 300).latent
    assert relative_error(SDSBridge().update(prior, z_0, noise, text, 300, 0.799).latent, sds) < 1e-12
    assert SDSBridge().update(prior, z_0, noise, text, 300, 0.8).latent.abs().max() < 1e-12
    assert SDSBridge(stage_two=0).update(prior, z_0, noise, text, 300, 0.0).latent.abs().max() < 1e-12
    with pytest.raises(ValueError, match="source prompt"):
        SDSBridge().update(prior, z_0, noise, replace(text, source=None), 300, 0.9)


def test_dreamdpo_on_one_noise_keeps_guidance_alone() -> None:
    prior, z_0, noise, text = double()
    _, direction = guidance(prior, add_noise(prior.alphas_cumprod, z_0, noise, 300), 300, text)
    loss = DreamDPO(lam=1)
    g = loss.update(prior, z_0, torch.stack([noise] * 2), text, 300, lambda x: x[:, 0].mean((1, 2)))
    assert relative_error(g.latent, sigma(prior.alphas_cumprod, 300) ** 2 * 6.5 * direction) < 1e-10


def test_dreamdpo_takes_each_views_winner_and_small_gaps_lose_their_rival() -> None:
    prior, z_0, noise, text = double()
    a, pair = prior.alphas_cumprod, torch.stack([noise, -noise])
    hats = [guided(prior, add_noise(a, z_0, own, 300), 300, text, 7.5) for own in pair]
    scores = iter([torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0])])

    def run(loss: DreamDPO, rewards: Any) -> Tensor:
        return loss.update(prior, z_0, pair, text, 300, lambda x: next(rewards)).latent

    chosen = run(DreamDPO(lam=1, beta=9.0), scores)
    expected = torch.stack([hats[0][0], hats[1][1], hats[0][2]])  # a tie goes to the first
    assert relative_error(chosen, sigma(a, 300) ** 2 * expected) < 1e-10
    again = iter([torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0])])
    subtracted = run(DreamDPO(lam=1, beta=9.0, subtract_noise=True), again)
    own = torch.stack([noise[0], -noise[1], noise[2]])
    assert relative_error(chosen - subtracted, sigma(a, 300) ** 2 * own) < 1e-10


def test_dreamdpos_window_of_times_sinks_until_its_share_of_the_run() -> None:
    def window(step: int) -> tuple[int, int]:
        found = [DreamDPO().draw_time(Progress(step, 100, seed)) for seed in range(300)]
        return min(found), max(found)

    assert window(0) == (980, 980)
    low, high = window(90)
    assert 20 <= low < 40 and 480 < high <= 500


def constant(prior: Prior, z_0: Tensor, noise: Tensor, text: Conditioning) -> list[Tensor]:
    pair = torch.stack([noise] * 2)
    return [
        VSD().update(prior, z_0, noise, text, 300, lambda x, t: prior.eps(x, t, text.cond)).latent,
        SDSBridge().update(prior, z_0, noise, text, 300, 0.9).latent,
        DreamDPO().update(prior, z_0, pair, text, 300, lambda x: x[:, 0].mean((1, 2))).latent,
    ]


def test_a_constant_network_teaches_nothing() -> None:
    prior = ToyPrior(lambda x, t, c: torch.full_like(x, 0.3), ALPHAS.double(), torch.float64)
    _, z_0, noise, text = double()
    assert all(g.abs().max() < 1e-10 for g in constant(prior, z_0, noise, replace(text, source=text.cond)))


def ball(side: int = 32, radius: float = 0.8) -> Views:
    """A ball seen from far away."""
    line = (torch.arange(side) + 0.5) / side * 2 - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    inside = (x**2 + y**2 < radius**2).float()
    height = (radius**2 - x**2 - y**2).clamp(min=0).sqrt()
    off = torch.tensor([0.03, 0.02, 0.01])[
        :, None, None
    ]  # no two points as far from the middle as each other
    return Views(torch.eye(4)[None], inside[None, None], (torch.stack([x, height, -y]) + off)[None])


def correlation(a: Tensor, b: Tensor) -> float:
    """Of two noises in the middle of the picture."""
    pair = torch.stack([x[..., 2:6, 2:6].flatten() for x in (a, b)])
    return float(torch.corrcoef(pair)[0, 1])


def noise_of(loss: CFD, views: Views, step: int = 0, seed: int = 0, state: dict | None = None) -> Tensor:
    caught: list[Tensor] = []

    def network(x: Tensor, t: Tensor, c: Tensor) -> Tensor:
        caught.append(x)
        return x

    prior, state = ToyPrior(network, ALPHAS), {} if state is None else state
    text = Conditioning(*(torch.zeros(1, 1, 1) for _ in range(3)), views=views)
    progress = Progress(step, 100, seed, state=state)
    loss(prior, torch.zeros(1, 4, 8, 8), text, progress)
    return caught[0][:1] / sigma(ALPHAS, loss.time(progress))


SMALL = CFD(texels=64)


def test_a_surface_shows_the_same_noise_to_every_view_that_shows_the_same_of_it() -> None:
    front = noise_of(SMALL, ball())
    assert torch.equal(front, noise_of(SMALL, ball()))
    fine = CFD(texels=256)
    mirrored = noise_of(fine, ball().flipped()).flip(-1)
    assert correlation(mirrored, noise_of(fine, ball())) > 0.95
    nothing = noise_of(SMALL, replace(ball(), alphas=0 * ball().alphas))
    same = (front == nothing).all(1)[0]  # the background, which is fixed on the screen
    assert same[0, 0] and same[-1, -1] and not same[2:6, 2:6].any()


def test_the_noise_of_a_view_is_white_of_unit_variance() -> None:
    drawn = torch.cat([noise_of(CFD(texels=32), ball(), seed=seed) for seed in range(150)])
    assert drawn.mean().abs() < 0.02
    deviation = drawn.std(0)
    assert float(deviation.min()) > 0.8 and float(deviation.max()) < 1.2
    middle = drawn[:, 0, 2:6, 2:6].flatten(1)
    others = torch.corrcoef(middle.T) - torch.eye(16)
    assert others.abs().max() < 0.4


def test_noise_is_renewed_as_much_in_a_short_run_as_in_the_official_one() -> None:
    state: dict[str, Any] = {}
    first = noise_of(SMALL, ball(), 0, state=state)
    second = noise_of(SMALL, ball(), 1, state=state)
    field = state["field"]
    kept = 0.99 ** (25_000 / 100 / 2)
    assert float(field.std()) == pytest.approx(1, abs=0.02) and not torch.equal(first, second)
    again: dict[str, Any] = {}
    noise_of(SMALL, ball(), 0, state=again)
    start = again["field"].clone()
    assert float((start * field).mean()) == pytest.approx(kept, abs=0.02)


def test_mirror_images_share_texels_as_released_and_can_be_kept_apart() -> None:
    def shared(mirrored: bool) -> float:
        loss, there, back = CFD(texels=64, mirrored=mirrored), ball(), torch.tensor([1.0, -1, 1])
        assert there.points is not None
        back_side = replace(there, points=there.points * back[:, None, None])
        pairs = ((noise_of(loss, view, seed=seed) for view in (there, back_side)) for seed in range(6))
        return correlation(*(torch.cat(side) for side in zip(*pairs, strict=True)))

    assert shared(True) > 0.2 and abs(shared(False)) < 0.15


def test_depth_that_was_not_rendered_is_asked_for() -> None:
    with pytest.raises(ValueError, match=r"set train\.disparity to true"):
        noise_of(SMALL, replace(ball(), points=None))


def test_cfds_time_sinks_by_the_official_knots() -> None:
    assert [CFD().time(Progress(step, 25_000, 0)) for step in (0, 2500, 12_500, 25_000)] == [
        980,
        692,
        404,
        212,
    ]


def test_the_map_of_directions_keeps_areas() -> None:
    g = torch.Generator().manual_seed(0)
    p = torch.nn.functional.normalize(torch.randn(200_000, 3, generator=g), dim=-1)
    at = flatten(p[:, 0].abs(), p[:, 1:])
    assert at.abs().max() <= 1 + 1e-6
    counts = torch.histogramdd(at, [6, 6], range=[-1.0, 1.0, -1.0, 1.0]).hist
    assert float(counts.std() / counts.mean()) < 0.05


def test_barycentric_shares_find_their_point() -> None:
    corners = torch.tensor([[[0.0, 0], [2, 0], [0, 2]]])
    shares = barycentric(corners, torch.tensor([[0.5, 1.0]]))
    assert torch.allclose((shares[..., None] * corners).sum(1), torch.tensor([[0.5, 1.0]]))
    assert not (barycentric(0 * corners, torch.ones(1, 2)) >= 0).any()
