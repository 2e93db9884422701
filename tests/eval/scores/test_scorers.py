"""What the shipped judge, CLIP and ToyReward promise, on a small draw of held-out pictures."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from eval.scores import toy_reward
from eval.scores.clip import Clip, embed_texts
from eval.views.archive import composite
from toybox import data, judge, scenes, train_clip, train_reward
from toybox import evaluate_scorers as evaluate

SEED = 31_000  # neither a trainer's nor the evaluation's
SAMPLE = 200


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No scorer may reach for the network."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("the network is off limits in these tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def pictures() -> data.Pictures:
    rng = np.random.default_rng(SEED)
    return data.draw_pictures(SAMPLE, rng, scenes.held_out_specs())


@pytest.fixture(scope="module")
def images(pictures: data.Pictures) -> torch.Tensor:
    return torch.from_numpy(composite(pictures.rgba)).permute(0, 3, 1, 2).float() / 255


@pytest.fixture(scope="module")
def captions(pictures: data.Pictures) -> list[str]:
    return [spec.caption() for spec in pictures.specs]


@pytest.fixture(scope="module")
def twins() -> train_reward.Twins:
    rng = np.random.default_rng(SEED)
    return train_reward.draw_twins(SAMPLE, rng, scenes.held_out_specs(), scenes.all_specs())


@pytest.fixture(scope="module")
def clip() -> Clip:
    return evaluate.shipped_clip()


@pytest.fixture(scope="module")
def reward() -> toy_reward.ToyReward:
    return toy_reward.load(train_reward.FOLDER)


@pytest.mark.parametrize("folder", [judge.FOLDER, train_clip.FOLDER, train_reward.FOLDER])
def test_shipped_weights_are_float16_safetensors(folder: Path) -> None:
    floating = [v for v in load_file(folder / "model.safetensors").values() if v.is_floating_point()]
    assert floating
    assert all(value.dtype == torch.float16 for value in floating)
    assert all(value.isfinite().all() for value in floating)


def test_shipped_scorers_stay_within_ten_megabytes() -> None:
    folders = (judge.FOLDER, train_clip.FOLDER, train_reward.FOLDER)
    assert sum((folder / "model.safetensors").stat().st_size for folder in folders) < 10e6


def test_judge_reads_pictures_it_has_not_seen(pictures: data.Pictures, images: torch.Tensor) -> None:
    accuracy = evaluate.judge_accuracy(images, pictures)
    assert min(accuracy[name] for name in ("class", "color", "second")) >= 0.95
    assert accuracy["view"] >= 0.9  # cameras near the border of two sides are a matter of taste


def test_judge_still_reads_distorted_pictures(pictures: data.Pictures, images: torch.Tensor) -> None:
    distorted = judge.distort(images, np.random.default_rng(SEED))
    assert min(evaluate.judge_accuracy(distorted, pictures).values()) >= 0.85


def test_judge_reads_larger_pictures(images: torch.Tensor) -> None:
    large = torch.nn.functional.interpolate(images[:50], scale_factor=2, mode="bilinear")
    small, read = judge.judge(images[:50]), judge.judge(large)
    assert (small["class"].argmax(1) == read["class"].argmax(1)).float().mean() >= 0.95


def test_a_stock_open_clip_loads_the_clip_and_sees_pictures_as_in_training(
    clip: Clip, pictures: data.Pictures
) -> None:
    import open_clip
    from PIL import Image

    open_clip.add_model_config(train_clip.FOLDER)
    weights = str(train_clip.FOLDER / "model.safetensors")
    stock, _, preprocess = open_clip.create_model_and_transforms(train_clip.NAME, pretrained=weights)
    rgb = composite(pictures.rgba[0])
    mean, std = (
        torch.tensor(values).view(3, 1, 1)
        for values in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    )
    trained = (torch.from_numpy(rgb).permute(2, 0, 1) / 255 - mean) / std
    torch.testing.assert_close(preprocess(Image.fromarray(rgb)), trained)
    with torch.no_grad():
        theirs = stock.eval().encode_image(trained[None], normalize=True)
    torch.testing.assert_close(evaluate.embed_pictures(clip, pictures.rgba[:1]), theirs)


def test_clip_finds_the_right_caption_among_sixty_four_wrong_ones(
    clip: Clip, pictures: data.Pictures
) -> None:
    ranks = evaluate.caption_ranks(clip, pictures)
    assert (ranks == 0).float().mean() >= 0.9


def test_clip_tells_front_from_back(clip: Clip, pictures: data.Pictures) -> None:
    scores = evaluate.view_scores(clip, pictures)
    four, two = evaluate.view_accuracy(scores, pictures.views)
    assert four >= 0.5  # chance is 0.25
    assert two >= 0.75  # chance is 0.5


@pytest.mark.parametrize("kind", train_reward.KINDS)
def test_reward_prefers_the_better_picture(
    reward: toy_reward.ToyReward, twins: train_reward.Twins, kind: str
) -> None:
    margins = evaluate.reward_margins(reward, kind, SAMPLE, twins)
    assert (margins > 0).float().mean() >= 0.9


def test_reward_falls_as_blur_grows(
    reward: toy_reward.ToyReward, images: torch.Tensor, captions: list[str]
) -> None:
    means = [
        float(reward.score(judge.blur(images, torch.full((SAMPLE,), sigma)), captions).mean())
        for sigma in (0.1, 0.7, 1.4, 2.1, 2.8)
    ]
    assert means == sorted(means, reverse=True)


def test_reward_is_standardised(reward: toy_reward.ToyReward, twins: train_reward.Twins) -> None:
    specs = scenes.all_specs()
    rng = np.random.default_rng(SEED)
    pairs = [train_reward.draw_pairs(k, SAMPLE, twins, specs, rng) for k in train_reward.KINDS]
    scores = torch.cat(
        [reward.score(p.better, p.prompts) for p in pairs]
        + [reward.score(p.worse, p.rival_prompts) for p in pairs]
    )
    assert abs(float(scores.mean())) < 0.3
    assert 0.7 < float(scores.std()) < 1.3


def test_reward_takes_words_it_does_not_know(reward: toy_reward.ToyReward, images: torch.Tensor) -> None:
    assert reward.tokenizer(["a zeppelin"])[0, :3].tolist() == [reward.tokenizer.index["a"], 1, 0]
    assert reward.score(images[:2], ["a zeppelin", ""]).isfinite().all()


def test_batch_size_does_not_change_scores(
    clip: Clip,
    reward: toy_reward.ToyReward,
    pictures: data.Pictures,
    images: torch.Tensor,
    captions: list[str],
) -> None:
    together = (
        reward.score(images[:16], captions[:16]),
        evaluate.embed_pictures(clip, pictures.rgba[:16]),
        torch.from_numpy(embed_texts(clip, captions[:16])),
        judge.judge(images[:16])["color"],
    )
    alone = (
        torch.cat([reward.score(images[i : i + 1], captions[i : i + 1]) for i in range(16)]),
        torch.cat([evaluate.embed_pictures(clip, pictures.rgba[i : i + 1]) for i in range(16)]),
        torch.cat([torch.from_numpy(embed_texts(clip, captions[i : i + 1])) for i in range(16)]),
        torch.cat([judge.judge(images[i : i + 1])["color"] for i in range(16)]),
    )
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", range(len(train_reward.DEGRADATIONS)))
def test_stronger_degradation_moves_a_picture_further(twins: train_reward.Twins, kind: int) -> None:
    background = torch.full((32, 3, 1, 1), 0.6)
    image, toy = train_reward.lay(twins.rgba[0, :32], background)
    kinds = np.full(32, kind)
    moved = [
        (train_reward.degrade(image, toy, background, kinds, torch.full((32,), s), 7) - image).square().mean()
        for s in (0.0, 0.3, 0.6, 1.0)
    ]
    assert moved[0] < 1e-4
    assert moved == sorted(moved)


def test_captions_describe_every_picture_they_are_true_of() -> None:
    bear, duck = scenes.Spec("bear", "red"), scenes.Spec("duck", "red")
    seen = [(bear, "front"), (bear, "back"), (duck, "front")]
    true = train_clip.describes(seen, [(bear, None), (bear, "front"), (duck, "back")])
    assert true.tolist() == [[1, 1, 0], [1, 0, 0], [0, 0, 0]]


def test_a_killed_training_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    def line() -> torch.nn.Linear:
        torch.manual_seed(0)
        return torch.nn.Linear(2, 1)

    calls = 0

    def loss(model: torch.nn.Linear, limit: int) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls > limit:
            raise KeyboardInterrupt
        return model.weight.square().sum()

    first = line()
    with pytest.raises(KeyboardInterrupt):
        judge.fit(first, lambda rng: loss(first, 501), 1, 0, tmp_path / "checkpoint.pt")
    second = line()
    with pytest.raises(KeyboardInterrupt):
        judge.fit(second, lambda rng: loss(second, 0), 1, 0, tmp_path / "checkpoint.pt")
    assert not torch.equal(second.weight, line().weight)
