"""How the prior's networks run: types at each boundary, layout, attention, tiles, memory, compilation."""

from __future__ import annotations

import gc
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from segmentdreamer.config import ConfigError, load_config
from segmentdreamer.prior import random_networks as stable_diffusion
from segmentdreamer.prior.diffusers_prior import (
    DiffusersPrior,
    default_kind,
    load_networks,
    open_prior,
)
from segmentdreamer.prior.folder import count_parameters
from segmentdreamer.prior.options import NetworkOptions, PriorConfig
from segmentdreamer.prior.torch_networks import TorchNetworks
from segmentdreamer.randomness import place

PRIOR = Path(__file__).parents[3] / "toybox/models/prior"
CONFIG = PriorConfig(path=str(PRIOR))


def in_torch(**options: Any) -> DiffusersPrior:
    return DiffusersPrior(PRIOR, networks="torch", options=NetworkOptions(**options))


@pytest.fixture(scope="module")
def plain() -> DiffusersPrior:
    return in_torch()


def inputs(batch: int, side: int = 64) -> tuple[Tensor, Tensor, Tensor]:
    """Latents, embeddings and pictures of one draw."""
    g = torch.Generator().manual_seed(3)
    shapes = ((batch, 4, side // 4, side // 4), (batch, 16, 96), (batch, 3, side, side))
    x, cond, images = (torch.randn(shape, generator=g) for shape in shapes)
    return x, cond, images.sigmoid()


def pulled(prior: DiffusersPrior, images: Tensor) -> tuple[Tensor, Tensor]:
    """Latents of pictures, and the gradient of a weighted sum of them."""
    leaf = images.clone().requires_grad_(True)
    z = prior.encode(leaf)
    weight = torch.randn(z.shape, generator=torch.Generator().manual_seed(4))
    return z.detach(), torch.autograd.grad((z * weight).sum(), leaf)[0]


def assert_same_prior(a: DiffusersPrior, b: DiffusersPrior, batch: int = 2, tolerance: float = 2e-5) -> None:
    """Predictions, pictures, latents and their gradient are equal but for rounding."""
    x, cond, images = inputs(batch)
    assert torch.allclose(a.eps(x, 400, cond), b.eps(x, 400, cond), atol=tolerance)
    assert torch.allclose(a.decode(x), b.decode(x), atol=tolerance)
    for ours, theirs in zip(pulled(a, images), pulled(b, images), strict=True):
        assert torch.allclose(ours, theirs, atol=tolerance * float(theirs.abs().max()))


def test_every_attention_of_stable_diffusion_is_fused_by_default() -> None:
    """diffusers picks its processor itself; it is the one that calls scaled_dot_product_attention."""
    from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0

    for options, expected in (
        (NetworkOptions(), AttnProcessor2_0),
        (NetworkOptions(attention="plain"), AttnProcessor),
    ):
        unet, vae = shapes_on_meta()
        networks = TorchNetworks(unet, vae, lambda texts: torch.zeros(0), "meta", options)
        for network, layers in ((networks.unet, 32), (networks.vae, 2)):
            found = [type(m.processor) for m in network.modules() if isinstance(m, Attention)]
            assert found == [expected] * layers


def shapes_on_meta() -> tuple[Any, Any]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return stable_diffusion.build_modules(stable_diffusion.write_shapes(Path(folder)), "meta")


def test_attention_without_fusion_predicts_the_same(plain: DiffusersPrior) -> None:
    assert_same_prior(in_torch(attention="plain"), plain)


def test_channels_last_changes_the_layout_and_not_the_numbers(plain: DiffusersPrior) -> None:
    prior = in_torch(channels_last=True)
    kernels = [p for p in prior.networks.unet.parameters() if p.ndim == 4 and min(p.shape[1:]) > 1]
    assert kernels and all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)
    assert_same_prior(prior, plain)


def test_tiles_are_off_unless_asked_for(plain: DiffusersPrior) -> None:
    assert not plain.networks.vae.use_tiling and not in_torch(channels_last=True).networks.vae.use_tiling


def test_tiles_reach_a_picture_of_the_native_size_and_give_nearly_its_latents(plain: DiffusersPrior) -> None:
    tiled, (_, _, images) = in_torch(vae_tiles=True), inputs(2)
    (z, gradient), (whole, of_whole) = pulled(tiled, images), pulled(plain, images)
    assert not torch.equal(z, whole)
    assert z.shape == whole.shape and (z - whole).norm() < 0.5 * whole.norm()
    assert torch.isfinite(gradient).all()
    assert torch.nn.functional.cosine_similarity(gradient.flatten(), of_whole.flatten(), dim=0) > 0.5
    small = images[..., :32, :32]
    assert torch.allclose(tiled.encode(small), plain.encode(small), atol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "vae"), [("float16", "float16"), ("bfloat16", "float32"), ("float32", "bfloat16")]
)
def test_only_what_enters_a_network_is_rounded(dtype: str, vae: str) -> None:
    seen: dict[str, set[torch.dtype]] = {"unet": set(), "vae": set()}
    prior = DiffusersPrior(
        PRIOR, "cpu", getattr(torch, dtype), "torch", options=NetworkOptions(vae_dtype=vae)
    )

    def watch(name: str) -> Any:
        return lambda module, given, result: seen[name].update({given[0].dtype, result.dtype})

    networks = prior.networks
    networks.unet.conv_in.register_forward_hook(watch("unet"))
    for layer in (networks.vae.encoder.conv_in, networks.vae.decoder.conv_out):
        layer.register_forward_hook(watch("vae"))
    x, cond, images = inputs(1)
    z, gradient = pulled(prior, images)
    outside = [z, gradient, prior.eps(x, 400, cond), prior.decode(x), prior.alphas_cumprod]
    assert {tensor.dtype for tensor in outside} == {torch.float32}
    assert seen == {"unet": {getattr(torch, dtype)}, "vae": {getattr(torch, vae)}}
    exact = in_torch()
    assert (prior.eps(x, 400, cond) - exact.eps(x, 400, cond)).abs().max() < 0.1
    assert (z - exact.encode(images)).abs().max() < 0.1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"dtype": "float16"}, "not in float16"),
        ({"dtype": "bfloat16", "vae_dtype": "float16"}, "not in bfloat16 and float16"),
        ({"vae_dtype": "float16"}, "not in float16"),
        ({}, ""),
    ],
)
def test_on_a_cpu_half_types_become_float32_with_one_message(
    settings: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    prior = open_prior(replace(CONFIG, **settings), "cpu")
    message = capsys.readouterr().err
    assert message.count("\n") == bool(words) and words in message
    assert prior.dtype == prior.vae_dtype == torch.float32
    x, cond, images = inputs(1)
    exact = DiffusersPrior(PRIOR)
    assert torch.equal(prior.eps(x, 400, cond), exact.eps(x, 400, cond))
    assert torch.equal(prior.encode(images), exact.encode(images))


def test_the_text_encoder_is_freed_as_soon_as_prompts_are_embedded(plain: DiffusersPrior) -> None:
    """Without the collector's help: references alone must free it."""
    from transformers import CLIPTextModel

    gc.collect()
    gc.disable()
    try:
        assert plain.encode_prompt(["a yellow duck"]).shape[0] == 1
        alive = [o for o in gc.get_objects() if issubclass(type(o), CLIPTextModel)]
    finally:
        gc.enable()
    assert not alive


def folder_with(tmp_path: Path, shape: list[int]) -> Path:
    """The shipped pipeline whose UNet's file states one tensor of `shape` and holds none of it."""
    folder = shutil.copytree(PRIOR, tmp_path / "prior")
    header = json.dumps({"__metadata__": {}, "w": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}})
    data = len(header).to_bytes(8, "little") + header.encode()
    (folder / "unet/diffusion_pytorch_model.safetensors").write_bytes(data)
    return folder


def test_a_unet_too_large_for_an_onnx_file_runs_in_pytorch(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, [865_910_724])
    assert count_parameters(folder / "unet") == 865_910_724
    assert default_kind(folder, "cpu", torch.float32) == "torch"
    with pytest.raises(ValueError, match="865,910,724 parameters does not fit an ONNX file"):
        load_networks(folder, "cpu", torch.float32, "exported", 1)


def test_a_small_one_is_exported_on_a_cpu_in_float32_alone(plain: DiffusersPrior) -> None:
    assert count_parameters(PRIOR / "unet") == sum(p.numel() for p in plain.networks.unet.parameters())
    assert default_kind(PRIOR, "cpu", torch.float32) == "exported"
    assert default_kind(PRIOR, "cpu", torch.float16) == default_kind(PRIOR, "cuda", torch.float32) == "torch"


def test_the_prior_counts_the_pictures_that_it_encodes_and_decodes() -> None:
    prior, (x, _, images) = in_torch(), inputs(3)
    prior.encode(images)
    prior.decode(x[:2])
    assert (prior.encoded, prior.decoded) == (3, 2)


def test_options_are_settings_of_the_prior_and_unknown_values_are_refused() -> None:
    config = load_config("paper", ["prior.channels_last=true", "prior.vae_dtype=float32"])
    assert config.prior.channels_last and config.prior.vae_dtype == "float32"
    assert not (config.prior.compile or config.prior.vae_tiles or config.prior.tf32)
    for wrong in ("prior.attention=flash", "prior.vae_dtype=int8", "prior.compile=2", "prior.layout=nhwc"):
        with pytest.raises(ConfigError, match=wrong.split("=")[0]):
            load_config("paper", [wrong])


def test_what_is_drawn_takes_the_type_and_place_of_its_partner() -> None:
    x = torch.randn(3)
    assert place(x, torch.zeros(1)) is x
    assert torch.equal(place(x, torch.zeros(1, dtype=torch.float16)), x.half())


def test_random_networks_repeat_and_have_the_shapes_of_the_folder(plain: DiffusersPrior) -> None:
    a, b, other = (stable_diffusion.random_networks(PRIOR, "cpu", torch.float32, seed=s) for s in (0, 0, 1))
    x, cond, _ = inputs(1)
    t = torch.tensor([400])
    assert torch.equal(a.predict(x, t, cond), b.predict(x, t, cond))
    assert not torch.equal(a.predict(x, t, cond), other.predict(x, t, cond))
    shapes = [[p.shape for p in n.unet.parameters()] for n in (a, plain.networks)]
    assert shapes[0] == shapes[1] and a.scaling_factor == plain.networks.scaling_factor
    texts = a.embed(["a duck", "a bear", "a duck"])
    assert torch.equal(texts[0], texts[2]) and not torch.equal(texts[0], texts[1])


def assert_compiles(plain: DiffusersPrior, batches: tuple[int, ...]) -> None:
    """Compiled networks equal the others for every batch size, in their gradients too, in few graphs."""
    from torch._dynamo.utils import counters

    counters.clear()
    compiled = in_torch(compile=True)
    for batch in batches:
        assert_same_prior(compiled, plain, batch)
    x, cond, _ = inputs(batches[0])
    gradients = []
    for prior in (compiled, plain):
        leaf = x.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(prior.eps(leaf, 400, cond, graph=True).square().sum(), leaf)
        gradients.append(gradient)
    assert torch.allclose(*gradients, atol=1e-4 * float(gradients[1].abs().max()))
    # UNet, encoder and decoder once for each batch, the UNet once more with a graph; none is cut in two.
    assert counters["stats"]["unique_graphs"] == 3 * len(batches) + 1 and not counters["graph_break"]


@pytest.mark.slow
def test_compilation_captures_the_networks_whole_for_every_batch_and_with_a_graph(
    plain: DiffusersPrior, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of torch.compile but its last stage, which turns the captured graphs into C++."""
    from segmentdreamer.prior import torch_networks as networks

    monkeypatch.setattr(networks, "COMPILER", "aot_eager")
    assert_compiles(plain, (1, 2, 4))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_networks_predict_the_same(plain: DiffusersPrior) -> None:
    assert_compiles(plain, (1, 2))
