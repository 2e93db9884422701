"""Train the toybox prior: a text-conditional latent diffusion model with SD's noise schedule.

`python -m toybox.train_prior --data toybox/data/train.npz --vae toybox/runs/vae --out toybox/models/prior`
writes a diffusers StableDiffusionPipeline folder in float16. Runs on CUDA where there is one; a killed
run resumes from `--run`'s checkpoint.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import segmentdreamer.torchvision_guard  # noqa: F401  (before diffusers)

import numpy as np
import torch
from torch import Tensor, nn

from segmentdreamer.records import replacing
from toybox import data, scenes

TEXT_WIDTH, TEXT_LENGTH = 96, 24
EMPTY_SHARE, NO_VIEW_SHARE = 0.10, 0.10  # captions dropped for CFG; captions without view words
MIN_SNR = 5.0  # loss weight min(SNR, 5) / SNR (Hang et al. 2023)
HIGH_NOISE, HIGH_SHARE = (
    450,
    0.5,
)  # half of the draws lie above: there the prompt decides layout and view
RATIO_CAP = 4.0  # weight grows with sigma / alpha, up to this
EMA, LEARNING_RATE, WARMUP = 0.999, 1.5e-3, 300
MIRRORED = {"left side": "right side", "right side": "left side"}


@dataclass
class Corpus:
    """Latents and what they show; the second half is the mirror image of the first."""

    latents: Tensor  # (N, 4, 16, 16), unit standard deviation
    texts: list[str]
    views: list[str]


def build_tokenizer():
    """A CLIPTokenizer in which every word of the toybox is one token and any other word is spelled."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    corpus = [data.view_caption(s.caption(), v) for s in scenes.all_specs() for v in data.VIEWS]
    alphabet = list("abcdefghijklmnopqrstuvwxyz0123456789,.'-")
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        end_of_word_suffix="</w>",
        special_tokens=["<|startoftext|>", "<|endoftext|>"],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator([*corpus, *alphabet], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    return CLIPTokenizer(vocab=model["vocab"], merges=merges, model_max_length=TEXT_LENGTH)


def build_networks(vocabulary: int):
    """The UNet and its text encoder, randomly initialized."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    unet = UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DCrossAttn",
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(32, 64, 96),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        resnet_time_scale_shift="scale_shift",
        addition_embed_type="text",  # pooled text joins the time embedding
        addition_embed_type_num_heads=4,
    )
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=TEXT_WIDTH,
            intermediate_size=3 * TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=TEXT_LENGTH,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )
    return unet, text_encoder


@torch.no_grad()
def encode_corpus(vae, pictures: data.Pictures, seed: int, device: str) -> Corpus:
    """Latents of every picture and of its mirror image, each over a background of its own."""
    rng = np.random.default_rng(seed)
    latents = []
    for mirrored in (False, True):
        for start in range(0, len(pictures.rgba), 256):
            image = data.lay_backgrounds(pictures.rgba[start : start + 256], rng)
            image = image.flip(-1) if mirrored else image
            posterior = vae.encode((image * 2 - 1).to(device)).latent_dist
            latents.append(posterior.sample().cpu() * vae.config.scaling_factor)
    texts = [spec.caption() for spec in pictures.specs]
    swapped = [MIRRORED.get(view, view) for view in pictures.views]
    return Corpus(torch.cat(latents), texts * 2, pictures.views + swapped)


def cached_corpus(vae, args: argparse.Namespace, device: str) -> Corpus:
    """The corpus, its latents kept in the run's folder so that a resumed run starts at once."""
    pictures, path = data.load(args.data), args.run / "latents.pt"
    if path.exists():
        texts = [spec.caption() for spec in pictures.specs]
        swapped = [MIRRORED.get(view, view) for view in pictures.views]
        return Corpus(torch.load(path, weights_only=True).float(), texts * 2, pictures.views + swapped)
    corpus = encode_corpus(vae, pictures, args.seed, device)
    torch.save(corpus.latents.half(), path)
    return corpus


def draw_caption(text: str, view: str, rng: np.random.Generator) -> str:
    u = rng.random()
    if u < EMPTY_SHARE:
        return ""
    return text if u < EMPTY_SHARE + NO_VIEW_SHARE else data.view_caption(text, view)


def batches(corpus: Corpus, batch: int, start: int, seed: int) -> Iterator[tuple[Tensor, list[str]]]:
    """Endless (latents, captions) batches; batch k depends on (seed, k) alone, so a run can resume."""
    step = start
    while True:
        rng = np.random.default_rng([seed, step])
        picked = rng.integers(len(corpus.texts), size=batch)
        captions = [draw_caption(corpus.texts[i], corpus.views[i], rng) for i in picked]
        yield corpus.latents[torch.from_numpy(picked)], captions
        step += 1


def draw_timesteps(n: int, device: torch.device) -> Tensor:
    """Half of the timesteps over the whole schedule, half of them above HIGH_NOISE."""
    low = torch.where(torch.rand(n, device=device) < HIGH_SHARE, HIGH_NOISE, 0)
    return (low + (1000 - low) * torch.rand(n, device=device)).long()


def loss_weights(alphas_cumprod: Tensor) -> Tensor:
    """min(SNR, 5) / SNR times the noise-to-signal ratio clamped to [1, 4]; mean one over timesteps.

    The side that a prompt names shows in an epsilon loss only at high noise, and little there.
    """
    snr = alphas_cumprod / (1 - alphas_cumprod)
    weight = snr.clamp(max=MIN_SNR) / snr * snr.rsqrt().clamp(1, RATIO_CAP)
    return weight / weight.mean()


def denoising_loss(unet, embeddings: Tensor, latents: Tensor, alphas_cumprod: Tensor) -> Tensor:
    """Weighted epsilon loss, one timestep a sample."""
    t = draw_timesteps(len(latents), latents.device)
    a = alphas_cumprod[t][:, None, None, None]
    eps = torch.randn_like(latents)
    x_t = a.sqrt() * latents + (1 - a).sqrt() * eps
    predicted = unet(x_t, t, encoder_hidden_states=embeddings).sample
    return (loss_weights(alphas_cumprod)[t] * (predicted - eps).square().mean((1, 2, 3))).mean()


def learning_rate(step: int, steps: int) -> float:
    return LEARNING_RATE * min(1, (step + 1) / WARMUP) * 0.5 * (1 + math.cos(math.pi * step / steps))


class Trainer:
    """The networks, their moving average and the optimizer: all that a checkpoint holds."""

    def __init__(self, tokenizer, device: str):
        self.tokenizer, self.device, self.step = tokenizer, device, 0
        unet, text_encoder = build_networks(len(tokenizer))
        self.networks = nn.ModuleDict({"unet": unet, "text_encoder": text_encoder}).to(device)
        self.average = copy.deepcopy(self.networks).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.networks.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=1e-3
        )

    def update(self, latents: Tensor, captions: list[str], alphas_cumprod: Tensor, steps: int) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, steps)
        ids = self.tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt")
        embeddings = self.networks["text_encoder"](ids.input_ids.to(self.device))[0]
        torch.manual_seed(self.step)
        loss = denoising_loss(self.networks["unet"], embeddings, latents.to(self.device), alphas_cumprod)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.networks.parameters(), 1.0)
        self.optimizer.step()
        decay = min(EMA, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, new in zip(self.average.parameters(), self.networks.parameters(), strict=True):
                mean.lerp_(new, 1 - decay)
        self.step += 1
        return float(loss.detach())

    def save(self, path: Path) -> None:
        state = {"networks": self.networks.state_dict(), "average": self.average.state_dict(),
                 "optimizer": self.optimizer.state_dict(), "step": self.step}  # fmt: skip
        with replacing(path) as partial:
            torch.save(state, partial)

    def restore(self, path: Path) -> None:
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.networks.load_state_dict(state["networks"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]


def save_pipeline(trainer: Trainer, vae, scheduler, out: Path) -> None:
    """Write the averaged networks as a float16 StableDiffusionPipeline folder."""
    from diffusers import StableDiffusionPipeline

    average = copy.deepcopy(trainer.average).cpu()
    pipeline = StableDiffusionPipeline(
        vae=copy.deepcopy(vae).cpu(),
        text_encoder=average["text_encoder"],
        tokenizer=trainer.tokenizer,
        unet=average["unet"],
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(torch.float16).save_pretrained(out)


def train(trainer: Trainer, corpus: Corpus, alphas_cumprod: Tensor, args: argparse.Namespace) -> None:
    steps = args.samples // args.batch
    checkpoint = args.run / "checkpoint.pt"
    start, first, mean = time.time(), trainer.step, 0.0
    for latents, captions in batches(corpus, args.batch, trainer.step, args.seed):
        if trainer.step >= steps:
            break
        loss = trainer.update(latents, captions, alphas_cumprod, steps)
        mean = loss if trainer.step == first + 1 else 0.99 * mean + 0.01 * loss
        if trainer.step % 250 == 0:
            rate = (trainer.step - first) / (time.time() - start)
            left = (steps - trainer.step) / rate / 60
            seen = trainer.step * args.batch
            print(f"step {trainer.step}/{steps} samples {seen} loss {mean:.4f} "
                  f"{rate * args.batch:.1f} samples/s, {left:.0f} min left", flush=True)  # fmt: skip
        if trainer.step % 1000 == 0:
            trainer.save(checkpoint)
    trainer.save(checkpoint)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--run", type=Path, default=Path("toybox/runs/prior"))
    parser.add_argument("--samples", type=int, default=168_000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    from diffusers import AutoencoderKL, DDIMScheduler

    args.run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    vae = AutoencoderKL.from_pretrained(args.vae).to(device).eval()
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        clip_sample=False, set_alpha_to_one=False, steps_offset=1,
    )  # fmt: skip
    trainer = Trainer(build_tokenizer(), device)
    if (args.run / "checkpoint.pt").exists():
        trainer.restore(args.run / "checkpoint.pt")
    if trainer.step < args.samples // args.batch:
        corpus = cached_corpus(vae, args, device)
        train(trainer, corpus, scheduler.alphas_cumprod.to(device), args)
    save_pipeline(trainer, vae, scheduler, args.out)


if __name__ == "__main__":
    main()
