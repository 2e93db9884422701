"""Train the toybox prior: a text-conditional latent diffusion model with SD's noise schedule.

`python -m toybox.train_prior --data toybox/data/train.npz --vae toybox/runs/vae --out toybox/models/prior`
writes a diffusers StableDiffusionPipeline folder in float16. On CUDA, where there is one, pictures and
captions lie on the device and a step is one graph. A killed run resumes from `--run`'s checkpoint.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import segmentdreamer.torchvision_guard  # noqa: F401  (before diffusers)

import torch
from torch import Tensor, nn

from segmentdreamer.records import replacing
from toybox import data, scenes
from toybox.replay import Step, record, use_fast_kernels

TEXT_WIDTH, TEXT_LENGTH = 96, 24
EMPTY_SHARE, NO_VIEW_SHARE = 0.10, 0.10  # captions dropped for CFG; captions without view words
MIN_SNR = 5.0  # loss weight min(SNR, 5) / SNR (Hang et al. 2023)
HIGH_NOISE, HIGH_SHARE = (
    450,
    0.5,
)  # half of the draws lie above: there the prompt decides layout and view
RATIO_CAP = 4.0  # weight grows with sigma / alpha, up to this
EMA, LEARNING_RATE, WARMUP = 0.999, 1.5e-3, 300
MINUTES, BATCH = {"cpu": 90.0, "cuda": 4.0}, {"cpu": 16, "cuda": 512}
MIRRORED = {"left side": "right side", "right side": "left side"}


@dataclass
class Corpus:
    """Pictures and the token ids of their captions, all on one device."""

    rgba: Tensor  # (N, 64, 64, 4) uint8
    ids: Tensor  # (C, TEXT_LENGTH), each caption once
    captions: Tensor  # (N, 2, 3) rows of `ids`: as it is and mirrored; with the view word, without, empty


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


def build_corpus(pictures: data.Pictures, tokenizer, device: str) -> Corpus:
    """The corpus of all pictures, every caption read by the tokenizer once."""
    rows: dict[str, int] = {"": 0}
    captions = []
    for spec, view in zip(pictures.specs, pictures.views, strict=True):
        text = spec.caption()
        for side in (view, MIRRORED.get(view, view)):
            known = [rows.setdefault(c, len(rows)) for c in (data.view_caption(text, side), text)]
            captions.append([*known, 0])
    ids = tokenizer(list(rows), padding="max_length", truncation=True, return_tensors="pt").input_ids
    places = torch.tensor(captions).view(-1, 2, 3)
    return Corpus(torch.from_numpy(pictures.rgba).to(device), ids.to(device), places.to(device))


@torch.no_grad()
def draw_batch(vae, corpus: Corpus, batch: int) -> tuple[Tensor, Tensor]:
    """Latents (B, 4, 16, 16) of random pictures, half of them mirrored, over fresh backgrounds; token ids."""
    device = corpus.rgba.device
    picked = torch.randint(len(corpus.rgba), (batch,), device=device)
    mirrored = torch.randint(2, (batch,), device=device)
    u = torch.rand(batch, device=device)
    kind = (u < EMPTY_SHARE + NO_VIEW_SHARE).long() + (u < EMPTY_SHARE).long()
    image = 2 * data.draw_images(corpus.rgba, picked) - 1
    image = torch.where(mirrored[:, None, None, None] == 1, image.flip(-1), image)
    latents = vae.encode(image).latent_dist.sample() * vae.config.scaling_factor
    return latents, corpus.ids[corpus.captions[picked, mirrored, kind]]


def draw_timesteps(n: int, device: torch.device) -> Tensor:
    """Half of the timesteps over the whole schedule, half of them above HIGH_NOISE."""
    low = HIGH_NOISE * (torch.rand(n, device=device) < HIGH_SHARE)
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


def learning_rate(step: int, done: float) -> float:
    return LEARNING_RATE * min(1, (step + 1) / WARMUP) * 0.5 * (1 + math.cos(math.pi * done))


class Trainer:
    """The networks, their moving average and the optimizer: all that a checkpoint holds."""

    def __init__(self, tokenizer, device: str):
        self.tokenizer, self.device, self.step, self.spent = tokenizer, device, 0, 0.0
        unet, text_encoder = build_networks(len(tokenizer))
        self.networks = nn.ModuleDict({"unet": unet, "text_encoder": text_encoder}).to(device)
        self.average = copy.deepcopy(self.networks).requires_grad_(False)
        self.rate, self.gap, self.loss = (torch.zeros((), device=device) for _ in range(3))
        self.optimizer = torch.optim.AdamW(
            self.networks.parameters(), lr=self.rate, betas=(0.9, 0.99), weight_decay=1e-3,
            fused=True, capturable=device == "cuda",
        )  # fmt: skip

    def set_rates(self, done: float) -> None:
        """The learning rate, and how far the average follows, after this share of the time."""
        self.rate.fill_(learning_rate(self.step, done))
        self.gap.fill_(1 - min(EMA, (1 + self.step) / (10 + self.step)))

    def update(self, latents: Tensor, ids: Tensor, alphas_cumprod: Tensor) -> None:
        """One step, which never waits for the device; `loss` then holds its loss."""
        embeddings = self.networks["text_encoder"](ids)[0]
        loss = denoising_loss(self.networks["unet"], embeddings, latents, alphas_cumprod)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.networks.parameters(), 1.0)
        self.optimizer.step()
        self.follow()
        self.loss.copy_(loss.detach())

    @torch.no_grad()
    def follow(self) -> None:
        """Move the average towards the networks by `gap` of the way, all tensors at once."""
        means, news = list(self.average.parameters()), list(self.networks.parameters())
        ways = torch._foreach_sub(news, means)
        torch._foreach_mul_(ways, self.gap)
        torch._foreach_add_(means, ways)

    def save(self, path: Path) -> None:
        state = {"networks": self.networks.state_dict(), "average": self.average.state_dict(),
                 "optimizer": self.optimizer.state_dict(),
                 "step": self.step, "spent": self.spent}  # fmt: skip
        with replacing(path) as partial:
            torch.save(state, partial)

    def restore(self, path: Path) -> None:
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.networks.load_state_dict(state["networks"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate  # not the stored copy: `set_rates` writes here
        self.step, self.spent = state["step"], state["spent"]


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


def train(trainer: Trainer, step: Step, minutes: float, checkpoint: Path) -> None:
    """Train for a time budget, of which a resumed run has spent a part; `step` is a recorded update."""
    mean, first, spent = 0.0, trainer.step, trainer.spent
    start = time.monotonic()
    while (done := trainer.spent / (60 * minutes)) < 1:
        trainer.set_rates(done)
        step()
        loss = float(trainer.loss)  # waits for the device
        if not math.isfinite(loss):
            raise FloatingPointError(f"step {trainer.step}: the loss is {loss}; lower LEARNING_RATE")
        trainer.step += 1
        trainer.spent = spent + time.monotonic() - start
        mean = loss if trainer.step == first + 1 else 0.99 * mean + 0.01 * loss
        if trainer.step % 250 == 0:
            rate = (trainer.step - first) / (trainer.spent - spent)
            print(f"step {trainer.step} loss {mean:.4f} {rate:.2f} steps/s, "
                  f"{minutes - trainer.spent / 60:.1f} min left", flush=True)  # fmt: skip
        if trainer.step % 1000 == 0:
            trainer.save(checkpoint)
    trainer.save(checkpoint)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--run", type=Path, default=Path("toybox/runs/prior"))
    parser.add_argument("--minutes", type=float, help=f"time budget; default: {MINUTES}")
    parser.add_argument("--batch", type=int, help=f"default: {BATCH}")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    from diffusers import AutoencoderKL, DDIMScheduler

    args.run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    use_fast_kernels()
    vae = AutoencoderKL.from_pretrained(args.vae).to(device).eval()
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        clip_sample=False, set_alpha_to_one=False, steps_offset=1,
    )  # fmt: skip
    trainer = Trainer(build_tokenizer(), device)
    if (args.run / "checkpoint.pt").exists():
        trainer.restore(args.run / "checkpoint.pt")
    minutes, batch = args.minutes or MINUTES[device], args.batch or BATCH[device]
    if trainer.spent < 60 * minutes:
        torch.manual_seed(args.seed + trainer.step)  # a resumed run draws other batches than the first did
        corpus = build_corpus(data.load(args.data), trainer.tokenizer, device)
        alphas_cumprod = scheduler.alphas_cumprod.to(device)
        trainer.set_rates(trainer.spent / (60 * minutes))
        step = record(lambda: trainer.update(*draw_batch(vae, corpus, batch), alphas_cumprod), device)
        train(trainer, step, minutes, args.run / "checkpoint.pt")
    save_pipeline(trainer, vae, scheduler, args.out)


if __name__ == "__main__":
    main()
