"""Networks recorded and replayed: by a stand-in for CUDA graphs anywhere, by CUDA graphs on a device."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from comparable_networks import PRIOR, assert_same, inputs, networks, pulled
from torch import Tensor

from segmentdreamer.prior.diffusers_prior import DiffusersPrior
from segmentdreamer.prior.graphs import CudaRecorder, Recording, Replayed, ReplayedGradient
from segmentdreamer.prior.torch_networks import NetworkOptions, TorchNetworks


class Again:
    """Records as CUDA does, in that a replay writes over the first result; and computes it anew in Python."""

    def __init__(self) -> None:
        self.warmed = self.recorded = self.replays = 0

    def warm_up(self, function: Callable[[], Any]) -> None:
        self.warmed += 1
        function()

    def record(self, function: Callable[[], Tensor]) -> Recording:
        self.recorded += 1
        output = function().detach().clone()

        def replay() -> None:
            self.replays += 1
            with torch.enable_grad():
                again = function()
            output.copy_(again.detach())

        return Recording(output, replay)


def square(x: Tensor) -> Tensor:
    return (x**2).sum(-1, keepdim=True) * x


def test_a_function_is_recorded_once_for_each_shape_and_type() -> None:
    recorder = Again()
    f = Replayed(lambda x, y: x * y, recorder)
    for shape in ((2, 3), (4, 3), (2, 3), (4, 3), (2, 3)):
        x = torch.randn(shape)
        assert torch.equal(f(x, x), x * x)
    assert (recorder.recorded, recorder.warmed, recorder.replays) == (2, 2, 5)
    assert f(x.half(), x.half()).dtype == torch.float16 and recorder.recorded == 3


def test_predictions_that_a_loss_keeps_are_not_written_over_by_later_ones() -> None:
    f = Replayed(lambda x: 2 * x, Again())
    kept = [f(torch.full((3,), float(i))) for i in range(4)]
    assert [float(y[0]) for y in kept] == [0, 2, 4, 6]


def test_what_a_recording_reads_is_its_own_and_takes_inputs_of_any_strides() -> None:
    f = Replayed(lambda x, c: x + c, Again())
    first, one = torch.zeros(2, 5), torch.ones(1, 5)
    f(first, one.expand(2, 5))
    first.fill_(9)
    x = torch.randn(5, 2).T
    assert torch.equal(f(x, 2 * one.expand(2, 5)), x + 2)


def test_what_is_computed_a_few_rows_at_a_time_is_recorded_for_those_alone() -> None:
    recorder = Again()
    f = Replayed(lambda x: 2 * x, recorder, rows=4)
    for rows in (4, 8, 10):
        x = torch.randn(rows, 3)
        assert torch.equal(f(x), 2 * x)
    assert (recorder.recorded, recorder.replays) == (2, 1 + 2 + 3)  # of four rows, and of the last two


def test_value_and_gradient_are_the_functions_for_every_shape() -> None:
    recorder = Again()
    f = ReplayedGradient(square, recorder)
    for shape in ((2, 3), (5, 3), (2, 3)):
        x = torch.randn(shape)
        for ours, theirs in zip(pulled(f, x), pulled(square, x), strict=True):
            assert torch.equal(ours, theirs)
    assert recorder.recorded == 4 and recorder.warmed == 2  # forwards and backwards of two shapes


def test_a_gradient_is_its_own_passs_whatever_ran_between() -> None:
    f = ReplayedGradient(square, Again())
    a, b, other = (torch.randn(n, 3).requires_grad_(True) for n in (2, 2, 4))
    values = [f(x) for x in (a, b, other)]
    for x, y in zip((a, b, other), values, strict=True):
        assert torch.equal(y, square(x))
        (ours,) = torch.autograd.grad(y.sum(), x, retain_graph=True)
        (theirs,) = torch.autograd.grad(square(x).sum(), x)
        assert torch.equal(ours, theirs)
    (again,) = torch.autograd.grad(values[0].sum(), a)
    assert torch.equal(again, torch.autograd.grad(square(a).sum(), a)[0])


def test_a_pass_is_repeated_only_where_another_came_between() -> None:
    recorder = Again()
    f = ReplayedGradient(square, recorder)
    pulled(f, torch.randn(2, 3))
    assert recorder.replays == 2
    with torch.no_grad():
        assert not f(torch.randn(2, 3)).requires_grad
    assert recorder.replays == 3


@pytest.mark.parametrize("kind", [Replayed, ReplayedGradient])
def test_recordings_go_with_what_they_belong_to(kind: Any) -> None:
    f = kind(square, Again())
    y = f(torch.randn(2, 3).requires_grad_(True))
    recordings = list((f.recordings if kind is Replayed else f.passes).values())
    memory = weakref.ref(recordings[0][0][0] if kind is Replayed else recordings[0].input)
    del f, y, recordings
    gc.collect()
    assert memory() is None


def test_a_prior_over_recorded_networks_gives_and_counts_the_same() -> None:
    torch.manual_seed(0)
    recorders: list[Again] = []

    def recorder() -> Again:
        recorders.append(Again())
        return recorders[-1]

    recorded = networks(recorder=recorder)
    plain = TorchNetworks(recorded.unet, recorded.vae, lambda texts: torch.zeros(0), "cpu")
    assert_same(*(DiffusersPrior(PRIOR, networks=n) for n in (recorded, plain)), tolerance=1e-6)
    # The encoder's memory holds a pass until its gradient: it shares none with the UNet's and the decoder's.
    assert [recorder.recorded for recorder in recorders] == [4, 4]
    recorded.forget()
    with torch.no_grad():
        recorded.predict(*(torch.zeros(shape) for shape in ((2, 4, 16, 16), (2,), (2, 16, 96))))
    assert [recorder.recorded for recorder in recorders] == [5, 4]


def test_a_loss_that_differentiates_the_unet_gets_the_network_itself() -> None:
    recorders: list[Again] = []
    recorded = networks(recorder=lambda: recorders.append(Again()) or recorders[-1])
    prior = DiffusersPrior(PRIOR, networks=recorded)
    x, cond, _ = inputs(2, prior)
    x.requires_grad_(True)
    (gradient,) = torch.autograd.grad(prior.eps(x, 400, cond, graph=True).sum(), x)
    assert gradient.abs().max() > 0 and not any(recorder.recorded for recorder in recorders)


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_cuda_graphs_give_what_the_networks_give(dtype: torch.dtype, monkeypatch: Any) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    torch.manual_seed(0)
    recorded = networks("cuda", dtype=dtype)
    plain = TorchNetworks(
        recorded.unet, recorded.vae, lambda texts: torch.zeros(0), "cuda", NetworkOptions(graphs=False)
    )
    assert isinstance(recorded._predict, Replayed) and isinstance(recorded._moments, ReplayedGradient)
    assert_same(
        *(DiffusersPrior(PRIOR, "cuda", dtype, n) for n in (recorded, plain)),
        tolerance=1e-4 if dtype == torch.float32 else 2e-2,
    )


@pytest.mark.cuda
def test_on_a_device_a_gradient_is_its_own_passs_with_predictions_between() -> None:
    torch.manual_seed(0)
    recorded = networks("cuda")
    prior = DiffusersPrior(PRIOR, "cuda", networks=recorded)
    x, cond, images = inputs(4, prior)
    expected = pulled(recorded._run_encoder, images)[1]
    leaf = images.clone().requires_grad_(True)
    z = recorded.moments(leaf)
    recorded.moments(torch.zeros_like(images))
    for batch in (4, 8, 16):
        prior.eps(
            *(part.repeat(batch // 4, *[1] * (part.ndim - 1)) for part in (x,)),
            300,
            cond.repeat(batch // 4, 1, 1),
        )
    (gradient,) = torch.autograd.grad(z.sum(), leaf)
    assert torch.allclose(gradient, expected, atol=2e-2 * float(expected.abs().max()))


@pytest.mark.cuda
def test_a_dropped_recording_gives_its_memory_back() -> None:
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    f = Replayed(lambda x: (x @ x) @ x, CudaRecorder())
    f(torch.randn(8192, 8192, device="cuda"))
    assert torch.cuda.memory_reserved() > before + 2**28
    del f
    gc.collect()
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() <= before + 2**27  # cuBLAS keeps its workspace
