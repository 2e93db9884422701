"""FID's Inception-v3: torch-fidelity's network, and the named resizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchvision.models import inception_v3

from eval.scores.inception import (
    InceptionV3,
    embed,
    load_inception,
    resize,
)


@pytest.fixture(scope="module")
def network() -> InceptionV3:
    """Random weights with He's gain, so that pool3 keeps a signal; moving averages that are not 0 and 1."""
    torch.manual_seed(0)
    model = InceptionV3()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.8, 1.2)
    return model


@pytest.fixture(scope="module")
def checkpoint(network: InceptionV3, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(network.state_dict(), path)
    return path


def pictures(n: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize("protocol", ["fid_clean", "fid_pytorch"])
def test_pool3_of_a_299_pixel_image_equals_torch_fidelitys_own(
    network: InceptionV3, checkpoint: Path, protocol: str
) -> None:
    theirs = FeatureExtractorInceptionV3("theirs", ["2048"], str(checkpoint))
    images = pictures(2, 299)
    with torch.inference_mode():
        (expected,) = theirs(torch.from_numpy(images).permute(0, 3, 1, 2))
    found = embed(network, images, protocol)
    assert found.shape == (2, 2048) and found.dtype == np.float32
    assert expected.std() > 0.01 and np.abs(found - expected.numpy()).max() < 1e-5 * np.abs(found).max()


def test_the_network_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        ours, torchvisions = (
            InceptionV3(),
            inception_v3(num_classes=1008, aux_logits=False, init_weights=False),
        )
    counts = [sum(p.numel() for p in model.parameters()) for model in (ours, torchvisions)]
    assert counts == [23_850_960, 23_850_960]
    assert sum(p.numel() for p in ours.fc.parameters()) == 2048 * 1008 + 1008


def test_the_network_is_frozen_and_stays_in_evaluation_mode(network: InceptionV3) -> None:
    network.train()
    assert not any(module.training for module in network.modules())
    assert not any(p.requires_grad for p in network.parameters())


def test_weights_load_from_either_format_and_change_the_features(
    network: InceptionV3, checkpoint: Path, tmp_path: Path
) -> None:
    learned = {n: t for n, t in network.state_dict().items() if not n.endswith("num_batches_tracked")}
    save_file(learned, tmp_path / "inception.safetensors")
    images = pictures(1, 40)
    ours = embed(network, images, "fid_clean")
    for path in (checkpoint, tmp_path / "inception.safetensors"):
        assert np.array_equal(embed(load_inception(path), images, "fid_clean"), ours)
    assert not np.allclose(embed(InceptionV3(), images, "fid_clean"), ours)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda state: state.pop("Mixed_5b.branch1x1.conv.weight"),
            "1 tensors missing, first Mixed_5b.branch1x1",
        ),
        (lambda state: state.update(extra=torch.zeros(1)), "1 tensors unknown, first extra"),
        (
            lambda state: state.update({"fc.bias": torch.zeros(1000)}),
            "1 tensors of another shape, first fc.bias",
        ),
        (lambda state: state.clear(), "tensors missing"),
    ],
)
def test_another_networks_weights_are_refused_in_one_line(
    network: InceptionV3, tmp_path: Path, change: Any, words: str
) -> None:
    state = dict(network.state_dict())
    change(state)
    torch.save(state, tmp_path / "wrong.pth")
    with pytest.raises(ValueError, match=words) as caught:
        load_inception(tmp_path / "wrong.pth")
    assert "wrong.pth" in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_or_unreadable_file_and_a_pickle_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no Inception weights"):
        load_inception(tmp_path / "nothing.pth")
    (tmp_path / "noise.safetensors").write_bytes(b"not tensors")
    torch.save({"code": Path("anything")}, tmp_path / "pickle.pth")
    for name in ("noise.safetensors", "pickle.pth"):
        with pytest.raises(ValueError, match=name) as caught:
            load_inception(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_batch_size_never_changes_a_feature(network: InceptionV3) -> None:
    images = pictures(3, 64)
    one, all_ = (embed(network, images, "fid_pytorch", batch) for batch in (1, 3))
    assert np.abs(one - all_).max() < 1e-5 * np.abs(one).max()
    assert embed(network, images[:0], "fid_pytorch").shape == (0, 2048)


def test_autocast_never_reaches_the_network(network: InceptionV3) -> None:
    images = pictures(1, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = embed(network, images, "fid_clean")
    assert np.array_equal(found, embed(network, images, "fid_clean"))


def test_fid_clean_is_antialiased_bicubic_without_rounding_and_clipped() -> None:
    image = pictures(1, 512)
    found = resize(image, "fid_clean")
    torchs = nn.functional.interpolate(
        torch.from_numpy(image).permute(0, 3, 1, 2).float(), (299, 299), mode="bicubic", antialias=True
    ).clamp(0, 255)
    assert found.shape == (1, 3, 299, 299) and found.dtype == torch.float32
    assert (found - torchs).abs().max() < 1e-2 and (found != found.round()).float().mean() > 0.9
    smooth = np.asarray(Image.fromarray(pictures(1, 16)[0]).resize((512, 512), Image.Resampling.BICUBIC))
    rounded = np.asarray(Image.fromarray(smooth).resize((299, 299), Image.Resampling.BICUBIC))
    assert np.abs(resize(smooth[None], "fid_clean")[0].permute(1, 2, 0).numpy() - rounded).max() < 1.5
    edge = np.zeros((1, 64, 64, 3), np.uint8)
    edge[:, :, 32:] = 255
    step = resize(edge, "fid_clean")
    assert step.min() == 0 and step.max() == 255


def test_fid_pytorch_is_bilinear_between_pixel_centers_without_antialias() -> None:
    image = pictures(1, 512)
    at = (np.arange(299) + 0.5) * 512 / 299 - 0.5
    low, part = np.floor(at).astype(int), at - np.floor(at)
    columns = image[0].astype(float)
    columns = columns[:, low] * (1 - part)[None, :, None] + columns[:, low + 1] * part[None, :, None]
    expected = columns[low] * (1 - part)[:, None, None] + columns[low + 1] * part[:, None, None]
    found = resize(image, "fid_pytorch")[0].permute(1, 2, 0).numpy()
    assert np.abs(found - expected).max() < 1e-2
    board = np.indices((512, 512)).sum(0)[None, ..., None].repeat(3, -1) % 2 * 255  # finer than 299 can show
    with_, without = (resize(board.astype(np.uint8), p).std() for p in ("fid_clean", "fid_pytorch"))
    assert with_ < 10 and without > 40


def test_unknown_protocols_and_other_images_are_refused(network: InceptionV3) -> None:
    with pytest.raises(ValueError, match="no resize protocol 'clean'; there are fid_clean, fid_pytorch"):
        resize(pictures(1, 8), "clean")
    with pytest.raises(ValueError, match="not \\(N, H, W, 3\\) uint8"):
        resize(pictures(1, 8).astype(np.float32), "fid_clean")
    with pytest.raises(ValueError, match="not \\(N, 3, 299, 299\\)"):
        network(torch.zeros(1, 3, 64, 64))
