"""How each part of the networks runs: what was measured, options, norms by channels."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comparable_networks import PRIOR, assert_same, networks, pulled

from eval.reference.samples import configure
from segmentdreamer.config import load_config
from segmentdreamer.prior import arrangement
from segmentdreamer.prior.arrangement import arrange
from segmentdreamer.prior.diffusers_prior import DiffusersPrior
from segmentdreamer.prior.norms import ChannelNorm, norm_by_channels
from segmentdreamer.prior.torch_networks import NetworkOptions


@pytest.mark.parametrize(
    ("device", "options", "last", "plain", "graphs"),
    [
        ("cpu", {}, (), (), False),
        ("cpu", {"compile": True}, (), (), False),
        ("cuda", {}, (), ("encoder",), True),
        ("cuda:0", {"compile": True}, ("unet",), ("encoder",), True),
        ("cuda", {"compile": True, "channels_last": False}, (), ("encoder",), True),
        ("cuda", {"compile": True, "channels_last": True}, ("unet", "vae"), ("encoder",), True),
        ("cuda", {"channels_last": True, "attention": "sdpa", "graphs": False}, ("unet",), (), False),
        ("cuda", {"attention": "plain"}, (), ("unet", "encoder", "decoder"), True),
        ("cuda", {"compile": None}, ("unet",), ("encoder",), True),
        ("cpu", {"compile": None}, (), (), False),
    ],
)
def test_each_part_runs_as_was_measured_to_be_fastest_unless_told(
    device: str, options: dict[str, Any], last: tuple[str, ...], plain: tuple[str, ...], graphs: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(arrangement, "can_compile", lambda: True)
    chosen = arrange(NetworkOptions(**options), device)
    layouts = {"unet": chosen.unet_layout, "vae": chosen.vae_layout}
    assert tuple(part for part, layout in layouts.items() if layout == torch.channels_last) == last
    assert chosen.plain == plain and chosen.graphs == graphs


def test_the_papers_scale_is_compiled_wherever_it_can_be_in_runs_and_the_reference_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arrangement, "can_compile", lambda: True)
    for prior in (load_config("paper").prior, configure(None, "paper", None)):
        assert arrange(prior, "cuda").compiled and not arrange(prior, "cpu").compiled
    assert not arrange(load_config("paper", ["prior.compile=false"]).prior, "cuda").compiled


def test_without_a_compiler_networks_run_uncompiled_and_a_line_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    assert not arrange(NetworkOptions(compile=None), "cuda").compiled
    told = capsys.readouterr().err
    assert "without a C compiler (gcc)" in told and told.count("\n") == 1
    assert arrange(NetworkOptions(compile=True), "cuda").compiled  # who asks for it learns of the failure


@pytest.mark.parametrize("shape", [(2, 64, 8, 8), (3, 64, 50)])
def test_group_norms_by_channels_are_group_norms_in_value_and_gradient(shape: tuple[int, ...]) -> None:
    norm = torch.nn.GroupNorm(32, 64)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = 3 + torch.randn(shape)
    expected = pulled(norm, x)
    network = torch.nn.Sequential(norm)
    norm_by_channels(network)
    assert type(network[0]) is ChannelNorm
    for ours, theirs in zip(pulled(network, x), expected, strict=True):
        assert torch.allclose(ours, theirs, atol=2e-5)


def test_an_autoencoder_asked_for_in_channels_last_gives_the_same_by_norms_of_its_own() -> None:
    torch.manual_seed(0)
    plain = networks()
    torch.manual_seed(0)
    last = networks(compile=True, channels_last=True)
    norms = [m for m in last.vae.modules() if isinstance(m, torch.nn.GroupNorm)]
    assert norms and all(isinstance(norm, ChannelNorm) for norm in norms)
    assert not any(isinstance(module, ChannelNorm) for module in last.unet.modules())
    with torch.compiler.set_stance("force_eager"):
        assert_same(*(DiffusersPrior(PRIOR, networks=n) for n in (last, plain)), tolerance=1e-4)
