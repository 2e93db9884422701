"""What holds for every loss: independence, cost, precision, noise, guidance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from toys import (
    ALPHAS,
    COMPACT,
    METHODS,
    TWO_STEP,
    UPDATES,
    ToyPrior,
    relative_error,
    toy_inputs,
    toy_network,
    toy_prior,
    with_perp_neg,
)

from baselines.cds import CDS
from baselines.gcs import GCS
from baselines.ism import ISM, Interval
from baselines.sds import SDS
from segmentdreamer.diffusion import guidance
from segmentdreamer.diffusion.guidance import guided, unconditional
from segmentdreamer.diffusion.terms import draw_noise
from segmentdreamer.interfaces import Conditioning, Gradient, Method, Progress
from segmentdreamer.sctd import SCTD


@pytest.mark.parametrize("name", [name for name in UPDATES if name != "sds"])
def test_a_constant_network_teaches_nothing(name: str) -> None:
    prior = ToyPrior(lambda x, t, c: torch.full_like(x, 0.3) + 0 * x, ALPHAS.double(), torch.float64)
    g = UPDATES[name][0](prior, *toy_inputs(dtype=torch.float64))
    assert g.latent.abs().max() < 1e-10
    assert g.pixel is None or g.pixel.abs().max() < 1e-10


@pytest.mark.parametrize("name", UPDATES)
def test_no_sample_of_a_batch_depends_on_another(name: str) -> None:
    z_0, noise, c = toy_inputs(3)
    mean = name in ("cds", "gcs")  # these divide by B, as their authors do

    def run(rows: slice) -> Gradient:
        c_rows = Conditioning(c.cond[rows], c.neg, c.null)
        return UPDATES[name][0](toy_prior(), z_0[rows], noise[rows], c_rows)

    together = run(slice(0, 3))
    for i in range(3):
        alone = run(slice(i, i + 1))
        assert relative_error(alone.latent / (3 if mean else 1), together.latent[i : i + 1]) < 1e-5
        if together.pixel is not None and alone.pixel is not None:
            assert relative_error(alone.pixel / 3, together.pixel[i : i + 1]) < 1e-5


@pytest.mark.parametrize("name", UPDATES)
@pytest.mark.parametrize("perp_neg", [False, True])
def test_a_step_costs_exactly_the_published_evaluations(name: str, perp_neg: bool) -> None:
    update, bare, guidances = UPDATES[name]
    prior, (z_0, noise, c) = toy_prior(), toy_inputs(3)
    if perp_neg and name == "cds":
        with pytest.raises(ValueError, match="CDS has no Perp-Neg"):
            update(prior, z_0, noise, with_perp_neg(c))
        assert prior.nfe == 0
        return
    update(prior, z_0, noise, with_perp_neg(c) if perp_neg else c)
    assert prior.nfe == 3 * (bare + guidances * (4 if perp_neg else 2))


def test_bare_conditional_predictions_save_one_evaluation() -> None:
    prior = toy_prior()
    SCTD(cond_uses_cfg=False).update(prior, *toy_inputs(3), TWO_STEP)
    assert prior.nfe == 3 * 4


def test_gcs_evaluates_nothing_for_terms_of_no_weight() -> None:
    prior = toy_prior()
    g = GCS(w_gc=0.0, w_cp=0.0).update(prior, *toy_inputs(3), COMPACT)
    assert prior.nfe == 3 * (4 + 2) and g.pixel is None
    assert GCS(w_cp=0.0).update(prior, *toy_inputs(3), COMPACT).pixel is None
    assert GCS(w_gc=0.0).update(prior, *toy_inputs(3), COMPACT).pixel is not None


def test_inversion_under_guidance_costs_a_row_a_hop() -> None:
    prior = toy_prior()
    ISM(inversion_omega=2.0).update(prior, *toy_inputs(3), Interval(582, 502))
    assert prior.nfe == 3 * (2 * 4 + 2)


@pytest.mark.parametrize("name", UPDATES)
def test_guidance_is_one_network_call(name: str) -> None:
    sizes: list[int] = []

    def network(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        sizes.append(len(x))
        return toy_network(x, t, cond)

    update, bare, guidances = UPDATES[name]
    update(ToyPrior(network, ALPHAS), *toy_inputs(3))
    assert sorted(sizes) == [3] * bare + [6] * guidances


@pytest.mark.parametrize("name", UPDATES)
def test_gradients_reach_the_network_in_the_jacobian_variant_alone(name: str) -> None:
    graphs: list[bool] = []

    def network(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        graphs.append(torch.is_grad_enabled() and x.requires_grad)
        return toy_network(x, t, cond)

    z_0, noise, c = toy_inputs(2)
    g = UPDATES[name][0](ToyPrior(network, ALPHAS), z_0.requires_grad_(True), noise, c)
    assert not g.latent.requires_grad
    assert sum(graphs) == (1 if name == "sctd, Jacobian" else 0)


@pytest.mark.parametrize("name", UPDATES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_latents_stay_float32_around_a_half_precision_network(name: str, dtype: torch.dtype) -> None:
    seen = set()

    def network(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        seen.update((x.dtype, cond.dtype))
        return toy_network(x.float(), t, cond.float()).to(dtype)

    inputs = toy_inputs(2)
    g = UPDATES[name][0](ToyPrior(network, ALPHAS, dtype), *inputs)
    assert seen == {dtype}
    assert g.latent.dtype == torch.float32 and torch.isfinite(g.latent).all()
    assert relative_error(g.latent, UPDATES[name][0](toy_prior(), *inputs).latent) < 0.2


@pytest.mark.parametrize("name", UPDATES)
def test_an_update_reads_no_value_back_from_the_device(name: str) -> None:
    """On a GPU such a read would wait for all work in flight."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            assert func not in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
            return func(*args, **(kwargs or {}))

    inputs = toy_inputs(2)
    with Watch():
        UPDATES[name][0](toy_prior(), *inputs)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
def test_a_call_draws_times_and_noise_from_seed_and_step_alone(method: Method) -> None:
    z_0, _, conditioning = toy_inputs(2)
    first, again, later, other = (
        method(toy_prior(), z_0, conditioning, Progress(step, 100, seed, warmup=30)).latent
        for step, seed in ((5, 1), (5, 1), (6, 1), (5, 2))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, later) and not torch.equal(first, other)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("step", [0, 29, 30, 99])
def test_a_call_is_finite_from_the_first_step_to_the_last(method: Method, step: int) -> None:
    z_0, _, conditioning = toy_inputs(2)
    g = method(toy_prior(), z_0, conditioning, Progress(step, 100, 0, warmup=30))
    assert torch.isfinite(g.latent).all() and g.latent.abs().max() > 0


def test_perp_neg_with_zero_weights_is_plain_guidance() -> None:
    z_0, _, c = toy_inputs(3)
    perp = Conditioning(c.cond, c.neg, c.null, torch.randn(2, 3, 5, 6), torch.zeros(2, 3))
    a, b = (guided(toy_prior(), z_0, 500, k, 7.5) for k in (c, perp))
    assert torch.allclose(a, b, atol=1e-6)


def test_perp_neg_of_a_batch_equals_separate_calls() -> None:
    z_0, _, c = toy_inputs(3)
    whole_c = with_perp_neg(c)
    perp, weights = whole_c.perp, whole_c.perp_weights
    assert perp is not None and weights is not None
    whole = guided(toy_prior(), z_0, 500, whole_c, 7.5)
    for i in range(3):
        k = Conditioning(c.cond[i : i + 1], c.neg, c.null, perp[:, i : i + 1], weights[:, i : i + 1])
        assert torch.allclose(guided(toy_prior(), z_0[i : i + 1], 500, k, 7.5), whole[i : i + 1], atol=1e-5)


def test_perp_negs_directions_are_at_right_angles_to_the_prompts() -> None:
    z_0, _, c = toy_inputs(3)
    plain, steered = (guided(toy_prior(), z_0, 500, k, 7.5) for k in (c, with_perp_neg(c)))
    delta = plain - unconditional(toy_prior(), z_0, 500, replace(c, null=c.neg))
    cosine = torch.nn.functional.cosine_similarity((steered - plain).flatten(1), delta.flatten(1))
    assert (steered - plain).norm() > 0 and cosine.abs().max() < 1e-5


def test_perp_neg_divides_by_no_less_than_its_floor() -> None:
    """|delta|^2 = 1e-8 counts as 1e-6: the part along delta that is taken away is .01 of it."""
    delta, other = torch.full((1, 1, 1, 1), 1e-4), torch.ones(1, 1, 1, 1)
    found = guidance._perpendicular(delta, [other], torch.tensor([[-2.0]]))
    assert torch.allclose(found, torch.full_like(found, -2 * 0.99), rtol=1e-5)


def test_fixed_noise_is_one_for_the_whole_run_and_offset_is_shared_by_the_batch() -> None:
    z_0 = torch.zeros(4, 4, 64, 64)
    assert torch.equal(
        draw_noise(z_0, Progress(0, 9, 3), True, 0.1), draw_noise(z_0, Progress(4, 9, 3), True, 0.1)
    )
    shift = draw_noise(z_0, Progress(0, 9, 3), False, 0.1) - draw_noise(z_0, Progress(0, 9, 3), False, 0.0)
    assert torch.allclose(shift, shift[:1, :, :1, :1].expand_as(shift), atol=1e-6)


def test_the_offset_of_a_channel_has_the_stated_deviation() -> None:
    z_0 = torch.zeros(1, 4, 2, 2)
    runs = [Progress(step, 2000, 0) for step in range(2000)]
    offsets = torch.stack(
        [draw_noise(z_0, p, False, 0.1)[0] - draw_noise(z_0, p, False, 0.0)[0] for p in runs]
    )
    assert torch.allclose(offsets, offsets[..., :1, :1], atol=1e-6)
    assert float(offsets[..., 0, 0].std()) == pytest.approx(0.1, rel=0.05)
    assert float(draw_noise(torch.zeros(64, 4, 8, 8), runs[0], False, 0.0).std()) == pytest.approx(
        1, rel=0.02
    )


def noises(method: Method, conditioning: Conditioning, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The noise that a method hands to its update, at two steps."""
    caught: list[Tensor] = []
    monkeypatch.setattr(
        type(method), "update", lambda m, p, z, noise, *rest: caught.append(noise) or Gradient(torch.zeros(1))
    )
    for step in (3, 4):
        method(toy_prior(), torch.zeros(3, 4, 8, 8), conditioning, Progress(step, 100, 0, warmup=30))
    return caught


def test_each_method_keeps_or_redraws_its_noise_as_officially(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, c = toy_inputs(3)
    p = with_perp_neg(c)
    for method, conditioning, fixed in (
        (SDS(), c, False),
        (ISM(), c, False),
        (ISM(fixed_noise=True), c, True),
        (CDS(), c, True),
        (GCS(), c, False),
        (GCS(), p, True),
        (GCS(noise="fixed"), c, True),
        (SCTD(), c, True),
        (SCTD(fixed_noise=False), c, False),
    ):
        first, second = noises(method, conditioning, monkeypatch)
        assert torch.equal(first, second) == fixed, method
    shared, _ = noises(CDS(), c, monkeypatch)
    own, _ = noises(SCTD(), c, monkeypatch)
    assert torch.equal(shared[0], shared[1]) and not torch.equal(own[0], own[1])


def test_contradicting_switches_are_refused() -> None:
    with pytest.raises(ValueError, match="set approx_G to false"):
        SCTD(unet_jacobian=True)
    with pytest.raises(ValueError, match="no room"):
        SCTD(N=80)
    with pytest.raises(ValueError, match="first segment shorter"):
        SCTD(strategy="monotone", t_tau=500)


@pytest.mark.parametrize("name", UPDATES)
def test_a_step_logs_its_times_and_the_size_of_its_terms(name: str) -> None:
    scalars = UPDATES[name][0](toy_prior(), *toy_inputs(3)).scalars
    sizes = [value for key, value in scalars.items() if key.endswith("_rms")]
    assert "t" in scalars and sizes and all(float(size) > 0 for size in sizes)
    assert {"s", "e"} <= set(scalars) or not name.startswith(("sctd", "gcs"))
    assert "s" in scalars or not name.startswith("ism")
