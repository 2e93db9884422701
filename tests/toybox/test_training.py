"""What the prior's trainers draw, follow and resume; a step replayed from a CUDA graph."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from toybox import data, scenes, train_autoencoder, train_prior
from toybox.replay import record
from toybox.scenes import Spec


class Pixels:
    """A stand-in for the autoencoder whose latents are the picture itself."""

    config = SimpleNamespace(scaling_factor=1.0)

    def encode(self, image: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(latent_dist=SimpleNamespace(sample=lambda: image))


class Words:
    """A stand-in tokenizer: the id of a caption is its place among those it was asked about."""

    asked: tuple[str, ...] = ()

    def __call__(self, captions: list[str], **_: object) -> SimpleNamespace:
        self.asked = tuple(captions)
        return SimpleNamespace(input_ids=torch.arange(len(captions))[:, None])


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_prior.build_tokenizer()


def test_a_mirrored_picture_is_called_by_its_other_side() -> None:
    rgba = np.full((1, 64, 64, 4), 255, dtype=np.uint8)
    rgba[:, :, :32, 0] = 0  # the left half is dark in red, whatever the background
    words = Words()
    pictures = data.Pictures(rgba, [Spec("duck", "blue")], np.array([-90.0]))
    corpus = train_prior.build_corpus(pictures, words, "cpu")
    torch.manual_seed(0)
    images, ids = train_prior.draw_batch(Pixels(), corpus, 400)
    shown = ["left" if image[0, 0, 0] < 0 else "right" for image in images]
    said = [words.asked[int(i)] for i in ids]
    for side, caption in zip(shown, said, strict=True):
        assert caption in ("", "a blue duck", f"a blue duck, {side} side view")
    assert 0.4 < shown.count("left") / 400 < 0.6
    assert 0.06 < said.count("") / 400 < 0.14 and 0.06 < said.count("a blue duck") / 400 < 0.14


def test_backgrounds_have_one_law_in_every_trainer() -> None:
    torch.manual_seed(0)
    clear = torch.zeros(1, 2, 2, 4, dtype=torch.uint8)
    here = data.draw_images(clear, torch.zeros(4000, dtype=torch.long))[:, :, 0, 0].numpy()
    there = data.draw_backgrounds(4000, np.random.default_rng(0))
    white_here, white_there = (colors.min(1) == 1 for colors in (here, there))
    assert abs(white_here.mean() - white_there.mean()) < 0.04
    np.testing.assert_allclose(here[~white_here].mean(0), there[~white_there].mean(0), atol=0.02)
    assert here.min() >= 0.3 and here.max() <= 1


def test_a_resumed_prior_goes_on_at_the_rate_of_the_time_that_is_left(tokenizer: Any, tmp_path: Path) -> None:
    first, second = (train_prior.Trainer(tokenizer, "cpu") for _ in range(2))
    first.step, first.spent = 5000, 90.0
    first.save(tmp_path / "checkpoint.pt")
    second.restore(tmp_path / "checkpoint.pt")
    assert (second.step, second.spent) == (5000, 90.0)
    second.set_rates(second.spent / 120)
    (group,) = second.optimizer.param_groups
    assert float(group["lr"]) == pytest.approx(train_prior.learning_rate(5000, 0.75), rel=1e-5)
    assert train_prior.learning_rate(5000, 1.0) == pytest.approx(0)


def test_the_average_follows_the_networks_by_the_gap(tokenizer: Any) -> None:
    trainer = train_prior.Trainer(tokenizer, "cpu")
    before = [mean.clone() for mean in trainer.average.parameters()]
    trainer.gap.fill_(0.25)
    with torch.no_grad():
        for parameter in trainer.networks.parameters():
            parameter.add_(1)
    trainer.follow()
    for mean, old in zip(trainer.average.parameters(), before, strict=True):
        torch.testing.assert_close(mean, old + 0.25)


def test_both_trainers_stop_when_their_time_is_spent(tokenizer: Any, tmp_path: Path) -> None:
    from diffusers import AutoencoderKL

    pictures = data.draw_pictures(4, np.random.default_rng(0))
    vae = AutoencoderKL(**train_autoencoder.CONFIG)
    train_autoencoder.train(vae, torch.from_numpy(pictures.rgba), minutes=0.01, batch=1)
    trainer = train_prior.Trainer(tokenizer, "cpu")
    corpus = train_prior.build_corpus(pictures, tokenizer, "cpu")
    alphas_cumprod = torch.linspace(0.999, 0.005, 1000)
    before = [p.detach().clone() for p in trainer.networks.parameters()]
    train_prior.train(
        trainer,
        lambda: trainer.update(*train_prior.draw_batch(vae, corpus, 1), alphas_cumprod),
        0.01,
        tmp_path / "checkpoint.pt",
    )
    assert trainer.spent >= 0.6 and trainer.step > 0 and (tmp_path / "checkpoint.pt").exists()
    assert not all(torch.equal(p, q) for p, q in zip(trainer.networks.parameters(), before, strict=True))


def test_every_caption_of_the_world_fits_the_text_encoder(tokenizer: Any) -> None:
    texts = [data.view_caption(s.caption(), v) for s in scenes.all_specs() for v in data.VIEWS]
    assert max(len(ids) for ids in tokenizer(texts).input_ids) <= train_prior.TEXT_LENGTH


def test_on_a_cpu_a_step_is_called_as_it_is() -> None:
    def step() -> None: ...

    assert record(step, "cpu") is step


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_cuda_a_replayed_step_reads_what_was_set_and_draws_anew() -> None:
    total, rate = torch.zeros((), device="cuda"), torch.ones((), device="cuda")
    drawn = torch.zeros((), device="cuda")

    def step() -> None:
        total.add_(rate)
        drawn.copy_(torch.rand((), device="cuda"))

    replay = record(step, "cuda")
    assert replay is not step
    total.zero_()
    seen = set()
    for value in (1.0, 2.0, 3.0):
        rate.fill_(value)
        replay()
        seen.add(float(drawn))
    assert float(total) == 6 and len(seen) == 3
