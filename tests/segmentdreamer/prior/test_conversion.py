"""Priors that are no pipeline folder: a single file of Stable Diffusion's names, LoRA over its networks."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from segmentdreamer.prior.conversion import folder_of
from segmentdreamer.prior.diffusers_prior import check_prior
from segmentdreamer.prior.options import PriorConfig
from segmentdreamer.recipe.identity import describe_prior

TOYBOX = Path(__file__).parents[3] / "toybox/models/prior"
WIDTHS = (32, 64)
# Stable Diffusion's names of the parts of a block.
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "conv_out": "out.2",
    "time_embedding.linear_2": "time_embed.2",
    "conv_norm_out": "out.0",
}
VAE = {
    "conv_shortcut": "nin_shortcut",
    "conv_norm_out": "norm_out",
    "mid_block.resnets.0": "mid.block_1",
    "mid_block.resnets.1": "mid.block_2",
    "mid_block.attentions.0": "mid.attn_1",
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMENTDREAMER_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline folder of Stable Diffusion's architecture, small and random."""
    import segmentdreamer.torchvision_guard  # noqa: F401

    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=WIDTHS,
        layers_per_block=1,
        cross_attention_dim=32,
        attention_head_dim=8,
        norm_num_groups=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )
    vae = AutoencoderKL(
        block_out_channels=WIDTHS,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=16,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
    )
    tokenizer = CLIPTokenizer.from_pretrained(TOYBOX / "tokenizer")
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=16,
    )
    parts: dict[str, Any] = {"safety_checker": None, "feature_extractor": None}
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(beta_schedule="scaled_linear", steps_offset=1, clip_sample=False),
        requires_safety_checker=False,
        **parts,
    )
    pipeline.save_pretrained(folder := tmp_path_factory.mktemp("small"))
    return folder


def weights(folder: Path, part: str) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    (path,) = (folder / part).glob("*.safetensors")
    return load_file(path)


def unet_name(name: str, layers: int = 1) -> str:
    """A UNet's weight by the name that Stable Diffusion's code gives it."""
    for ours, theirs in ENDS.items():
        if name.startswith(f"{ours}."):
            return name.replace(ours, theirs, 1)
    for ours, theirs in RESNET.items():
        name = re.sub(rf"(resnets\.\d+)\.{ours}\.", rf"\1.{theirs}.", name)
    found = re.match(r"(?:down|up)_blocks\.(\d+)\.\w+\.(\d+)", name)
    block, layer = (int(found[1]), int(found[2])) if found else (0, 0)
    down, up = 1 + block * (layers + 1) + layer, block * (layers + 1) + layer
    last, attended = block * (layers + 1) + layers, 2 if block else 1  # the second block up has attention
    for ours, theirs in {
        r"down_blocks\.\d+\.resnets\.\d+": f"input_blocks.{down}.0",
        r"down_blocks\.\d+\.attentions\.\d+": f"input_blocks.{down}.1",
        r"down_blocks\.\d+\.downsamplers\.0\.conv": f"input_blocks.{(block + 1) * (layers + 1)}.0.op",
        r"up_blocks\.\d+\.resnets\.\d+": f"output_blocks.{up}.0",
        r"up_blocks\.\d+\.attentions\.\d+": f"output_blocks.{up}.1",
        r"up_blocks\.\d+\.upsamplers\.0": f"output_blocks.{last}.{attended}",
        r"mid_block\.resnets\.0": "middle_block.0",
        r"mid_block\.attentions\.0": "middle_block.1",
        r"mid_block\.resnets\.1": "middle_block.2",
    }.items():
        name = re.sub(ours, theirs, name)
    return name


def vae_name(name: str) -> str:
    for ours, theirs in VAE.items():
        name = re.sub(rf"(?<![a-z_]){ours}(?=\.)", theirs, name)
    name = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"up.{1 - int(m[1])}.block.{m[2]}", name)
    return re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{1 - int(m[1])}.upsample", name)


def single_file(folder: Path, path: Path) -> Path:
    """The weights of a pipeline folder as one file, as the code of Stable Diffusion names them."""
    found = {f"model.diffusion_model.{unet_name(k)}": v for k, v in weights(folder, "unet").items()}
    for name, value in weights(folder, "vae").items():
        square = "attentions" in name and value.dim() == 2  # there a convolution of one pixel
        found[f"first_stage_model.{vae_name(name)}"] = value[..., None, None] if square else value
    text = weights(folder, "text_encoder")
    found |= {f"cond_stage_model.transformer.text_model.{k}": v for k, v in text.items()}
    save_file({name: value.contiguous() for name, value in found.items()}, path)
    return path


def test_a_single_file_becomes_the_folder_that_it_was_made_of(small: Path, tmp_path: Path) -> None:
    shapes = shutil.copytree(small, tmp_path / "shapes")
    for part in ("unet", "vae", "text_encoder"):  # only its configurations count
        (path,) = (shapes / part).glob("*.safetensors")
        save_file({name: torch.zeros_like(v) for name, v in weights(small, part).items()}, path)
    path = single_file(small, tmp_path / "model.safetensors")
    made = folder_of(PriorConfig(path=str(path), like=str(shapes)))
    for part in ("unet", "vae", "text_encoder"):
        ours, theirs = weights(made, part), weights(small, part)
        assert {*ours} == {*theirs} and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert check_prior(PriorConfig(path=str(path), like=str(shapes)))


@pytest.mark.parametrize(
    ("name", "like", "words"),
    [
        ("model.ckpt", "x", "pickled checkpoints may run code"),
        ("model.safetensors", "", "by prior.like"),
    ],
)
def test_a_file_that_cannot_be_converted_is_refused_in_a_line(
    name: str, like: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(b"x")
    (tmp_path / "x").mkdir()
    with pytest.raises(ValueError, match=words):
        folder_of(PriorConfig(path=str(tmp_path / name), like=str(tmp_path / like) if like else ""))


UNET, TEXT = (
    "mid_block.attentions.0.transformer_blocks.0.attn2.to_q",
    "text_model.encoder.layers.0.self_attn.q_proj",
)
CONV = "mid_block.resnets.0.conv1"


def layers(rank: int = 2) -> dict[str, tuple[Tensor, Tensor]]:
    """Module -> down (r, in, ...) and up (out, r, ...)."""
    g = torch.Generator().manual_seed(1)
    sizes = {
        f"unet.{UNET}": ((rank, 64), (64, rank)),
        f"text_encoder.{TEXT}": ((rank, 32), (32, rank)),
        f"text_encoder.{TEXT.replace('q_proj', 'out_proj')}": ((rank, 32), (32, rank)),
        f"unet.{CONV}": ((rank, 64, 3, 3), (64, rank, 1, 1)),
    }
    return {
        name: (torch.randn(down, generator=g), torch.randn(up, generator=g))
        for name, (down, up) in sizes.items()
    }


def write_lora(path: Path, form: str) -> Path:
    """The layers in diffusers' format of today, or in Kohya's, whose alpha is half the rank."""
    state = {}
    for name, (down, up) in layers().items():
        part, _, module = name.partition(".")
        if form == "peft":
            state |= {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}
        else:
            plain = f"lora_{'unet' if part == 'unet' else 'te'}_{module.replace('.', '_')}"
            state |= {
                f"{plain}.lora_down.weight": down,
                f"{plain}.lora_up.weight": up,
                f"{plain}.alpha": torch.tensor(1.0),
            }
    save_file(state, path)
    return path


@pytest.mark.parametrize(("form", "share"), [("peft", 1.0), ("kohya", 0.5)])
def test_lora_is_added_to_the_weights_that_it_belongs_to(
    form: str, share: float, small: Path, tmp_path: Path
) -> None:
    lora = write_lora(tmp_path / "lora.safetensors", form)
    made = folder_of(PriorConfig(path=str(small), lora=str(lora), lora_scale=0.5))
    for part in ("unet", "vae", "text_encoder"):
        before, after = weights(small, part), weights(made, part)
        for name, value in before.items():
            whole = f"text_model.{name}" if part == "text_encoder" else name  # as files name it
            down, up = layers().get(f"{part}.{whole.removesuffix('.weight')}", (None, None))
            if down is None or up is None:
                assert torch.equal(after[name], value), name
            else:
                change = torch.einsum("or,ri->oi", up.flatten(1), down.flatten(1)).view_as(value)
                torch.testing.assert_close(after[name], value + 0.5 * share * change)


def test_lora_of_another_network_is_refused_by_the_layer_that_does_not_fit(
    small: Path, tmp_path: Path
) -> None:
    save_file(
        {
            "unet.no.such.layer.lora_A.weight": torch.ones(2, 3),
            "unet.no.such.layer.lora_B.weight": torch.ones(3, 2),
        },
        lora := tmp_path / "lora.safetensors",
    )
    with pytest.raises(ValueError, match=r"does not fit the prior: no\.such\.layer"):
        folder_of(PriorConfig(path=str(small), lora=str(lora)))
    with pytest.raises(FileNotFoundError, match=r"prior\.lora"):
        folder_of(PriorConfig(path=str(small), lora=str(tmp_path / "none.safetensors")))


def test_a_lora_counts_in_an_assets_identity_by_its_content_and_scale(tmp_path: Path) -> None:
    a, b = (write_lora(tmp_path / name, "peft") for name in ("a.safetensors", "b.safetensors"))
    plain: dict[str, Any] = {"path": str(TOYBOX)}
    assert describe_prior(plain | {"lora": str(a)}) == describe_prior(plain | {"lora": str(b)})
    others = [plain, plain | {"lora": str(a)}, plain | {"lora": str(a), "lora_scale": 0.5}]
    assert len({str(describe_prior(section)) for section in others}) == 3
