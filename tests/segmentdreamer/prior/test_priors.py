"""Which diffusion models can be the prior: schedules, v-prediction, files, latents, classes of one's own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from prior_folders import generated
from torch import Tensor
from toys import ALPHAS, TWO_STEP, toy_inputs, toy_network

from segmentdreamer import optimize
from segmentdreamer.config import load_config
from segmentdreamer.diffusion.guidance import guided
from segmentdreamer.diffusion.mixture import MixturePrior
from segmentdreamer.diffusion.solver import alpha, sigma
from segmentdreamer.methods import load_method
from segmentdreamer.prior.diffusers_prior import DiffusersPrior, UNetPrior, check_prior, open_prior
from segmentdreamer.prior.folder import count_parameters, find_weights
from segmentdreamer.prior.random_networks import SD21_BASE, random_networks
from segmentdreamer.prior.schedule import NO_SIGNAL, read_schedule
from segmentdreamer.prior.view_prompts import embed_views
from segmentdreamer.records import write_json
from segmentdreamer.sctd import SCTD
from segmentdreamer.start.shapes import start_state
from segmentdreamer.timing.stopwatch import Stopwatch

ROOT = Path(__file__).parents[3]


PRIOR = ROOT / "toybox/models/prior"


SCHEDULER = SD21_BASE["scheduler/scheduler_config.json"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(PRIOR, tmp_path / "prior")


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize(
    "betas",
    [
        {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02},
        {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
        {"beta_schedule": "squaredcos_cap_v2"},
        {"beta_schedule": "sigmoid", "beta_start": 1e-4, "beta_end": 0.02},
        {"beta_schedule": "laplace"},
        {"trained_betas": [0.001 + 1e-5 * i for i in range(1000)]},
    ],
)
def test_every_known_schedule_is_that_of_diffusers(betas: dict[str, Any], zero: bool) -> None:
    from diffusers import DDPMScheduler

    config = betas | {"rescale_betas_zero_snr": zero, "timestep_spacing": "trailing", "clip_sample": True}
    ours, theirs = read_schedule(config).alphas_cumprod, DDPMScheduler(**config).alphas_cumprod
    assert torch.allclose(ours[:-1], theirs[:-1], rtol=2e-3, atol=1e-6) and ours.dtype == torch.float32
    assert float(ours[-1]) == (NO_SIGNAL if zero else pytest.approx(float(theirs[-1]), rel=2e-3))


def test_the_shipped_schedule_has_the_bytes_that_losses_were_tuned_with() -> None:
    assert torch.equal(read_schedule(SCHEDULER).alphas_cumprod, ALPHAS)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prediction_type": "sample"}, "prediction_type 'sample' is none of epsilon, v_prediction"),
        ({"prediction_type": "flow_prediction"}, "prediction_type 'flow_prediction'"),
        ({"beta_schedule": "square"}, "beta_schedule 'square' is none of linear, scaled_linear"),
        ({"beta_schedule": None}, "beta_schedule None"),
        ({"num_train_timesteps": 500}, "num_train_timesteps 500: .*schedule of 1000"),
        ({"trained_betas": [0.1, 0.2]}, "num_train_timesteps"),
    ],
)
def test_what_would_change_the_meaning_is_refused_by_name(
    folder: Path, changes: dict[str, Any], words: str
) -> None:
    change(folder / "scheduler/scheduler_config.json", **changes)
    with pytest.raises(ValueError, match=f"scheduler_config.json: {words}") as caught:
        DiffusersPrior(folder)
    assert "\n" not in str(caught.value)


def velocity(eps: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The network that predicts v where this one predicts epsilon."""
    return lambda x, t, c: (eps(x, t, c) - sigma(ALPHAS.to(x), t) * x) / alpha(ALPHAS.to(x), t)


def test_a_v_model_teaches_what_its_epsilon_twin_does() -> None:
    z_0, noise, text = toy_inputs(dtype=torch.float64)
    alphas = ALPHAS.double()
    twin = UNetPrior(toy_network, alphas, torch.float64)
    v_model = UNetPrior(velocity(toy_network), alphas, torch.float64, "v_prediction")
    for t in (20, 500, 979, torch.tensor([30, 400, 900])):
        assert torch.allclose(v_model.eps(z_0, t, text.cond), twin.eps(z_0, t, text.cond), atol=1e-10)
        assert torch.allclose(*(guided(p, z_0, t, text, 7.5) for p in (v_model, twin)), atol=1e-10)
    exact = SCTD(approx_G=False, unet_jacobian=True)  # a gradient passes the conversion too
    for loss in (SCTD(), exact):
        g, expected = (loss.update(p, z_0, noise, text, TWO_STEP).latent for p in (v_model, twin))
        assert torch.allclose(g, expected, atol=1e-9 * float(expected.abs().max()))


def test_the_exact_velocity_of_a_mixture_becomes_its_exact_noise() -> None:
    mixture = MixturePrior(torch.randn(3, 4, 2, 2, dtype=torch.float64), 0.4)
    prior = UNetPrior(velocity(mixture.eps), ALPHAS.double(), torch.float64, "v_prediction")
    x, cond = torch.randn(2, 4, 2, 2, dtype=torch.float64), mixture.encode_prompt([""])
    assert torch.allclose(prior.eps(x, 600, cond), mixture.eps(x, 600, cond), atol=1e-6)


@pytest.mark.parametrize("networks", ["exported", "torch"])
def test_a_folder_that_predicts_v_is_converted_whatever_runs_it(folder: Path, networks: str) -> None:
    change(folder / "scheduler/scheduler_config.json", prediction_type="v_prediction")
    raw, prior = DiffusersPrior(PRIOR, networks=networks), DiffusersPrior(folder, networks=networks)
    cond, x = raw.encode_prompt(["a red bear", ""]), torch.randn(2, 4, 16, 16)
    a = ALPHAS[700]
    expected = a.sqrt() * raw.eps(x, 700, cond) + (1 - a).sqrt() * x
    assert torch.allclose(prior.eps(x, 700, cond), expected, atol=1e-6)


@pytest.fixture(scope="module")
def inputs() -> tuple[Tensor, Tensor]:
    return torch.randn(1, 4, 16, 16), torch.randn(1, 16, 96)


@pytest.mark.parametrize(
    "form", [{"max_shard_size": "3MB"}, {"variant": "fp16"}, {"variant": "fp16", "max_shard_size": "3MB"}]
)
def test_shards_and_fp16_files_give_the_same_networks(
    folder: Path, form: dict[str, Any], inputs: tuple[Tensor, Tensor]
) -> None:
    whole, count = DiffusersPrior(PRIOR, networks="torch"), count_parameters(PRIOR / "unet")
    unet, vae = (part.half() for part in (whole.networks.unet, whole.networks.vae))
    for name, network in (("unet", unet), ("vae", vae)):
        (folder / name / "diffusion_pytorch_model.safetensors").unlink()
        network.save_pretrained(folder / name, **form)
    files, variant = find_weights(folder / "unet")
    assert variant == form.get("variant") and (len(files) > 1) == ("max_shard_size" in form)
    assert count_parameters(folder / "unet") == count
    x, cond = inputs
    again, whole = DiffusersPrior(folder, networks="torch"), DiffusersPrior(PRIOR, networks="torch")
    assert torch.allclose(again.eps(x, 300, cond), whole.eps(x, 300, cond), atol=1e-5)


def test_full_precision_is_taken_where_fp16_stands_beside_it(folder: Path) -> None:
    name = "diffusion_pytorch_model"
    shutil.copy(folder / f"unet/{name}.safetensors", folder / f"unet/{name}.fp16.safetensors")
    assert find_weights(folder / "unet") == ([folder / f"unet/{name}.safetensors"], None)
    assert count_parameters(folder / "unet") == count_parameters(PRIOR / "unet")


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("scheduler/scheduler_config.json", "no file .*scheduler_config.json"),
        ("unet/config.json", "no file .*unet/config.json"),
        ("text_encoder/config.json", "no file .*text_encoder/config.json"),
        ("vae/diffusion_pytorch_model.safetensors", "no file .*vae/diffusion_pytorch_model.safetensors"),
    ],
)
def test_a_folder_that_cannot_be_read_says_which_file_it_looked_for(
    folder: Path, tmp_path: Path, broken: str, words: str
) -> None:
    (folder / broken).unlink()
    with pytest.raises(SystemExit, match=f"^error: .*{words}") as stopped:
        generated(tmp_path / "out", f"prior.path={folder}")
    assert "\n" not in str(stopped.value) and not (tmp_path / "out").exists()


def test_a_missing_shard_and_a_broken_file_are_named_in_one_line(folder: Path) -> None:
    unet = folder / "unet"
    (unet / "diffusion_pytorch_model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
    with pytest.raises(ValueError, match=r"unet.* cannot be loaded: [^\n]*$"):
        DiffusersPrior(folder, networks="torch")
    with pytest.raises(ValueError, match=r"diffusion_pytorch_model.safetensors cannot be loaded"):
        DiffusersPrior(folder)
    index = {"weight_map": {"a": "diffusion_pytorch_model-00001-of-00002.safetensors"}}
    write_json(unet / "diffusion_pytorch_model.safetensors.index.json", index)
    with pytest.raises(FileNotFoundError, match="index.json names diffusion_pytorch_model-00001-of-00002"):
        check_prior(replace(load_config("mini").prior, path=str(folder)))
    (unet / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"unet/config.json is not JSON"):
        DiffusersPrior(folder)


@pytest.mark.parametrize(
    ("part", "setting", "words"),
    [
        ("unet", {"in_channels": 9}, "the UNet takes 9 channels, the autoencoder's latents have 4"),
        ("unet", {"addition_embed_type": "text_time"}, "addition_embed_type 'text_time' is not supported"),
        ("vae", {"shift_factor": 0.1}, "shift_factor 0.1 is not supported"),
    ],
)
def test_networks_that_ask_for_more_are_refused_by_name(
    folder: Path, part: str, setting: dict[str, Any], words: str
) -> None:
    change(folder / part / "config.json", **setting)
    with pytest.raises(ValueError, match=words):
        DiffusersPrior(folder)


def test_hidden_files_beside_the_weights_are_no_part_of_the_prior(folder: Path) -> None:
    config = replace(load_config("mini").prior, path=str(folder))
    (folder / ".cache").mkdir()
    (folder / ".cache/x").touch()
    assert check_prior(config) == config.sha256


def test_channels_and_sides_of_latents_are_the_models(tmp_path: Path) -> None:
    unet = {
        "sample_size": 8,
        "in_channels": 6,
        "out_channels": 6,
        "block_out_channels": [16, 16],
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
        "layers_per_block": 1,
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
        "cross_attention_dim": 12,
        "attention_head_dim": 4,
        "norm_num_groups": 8,
    }
    vae = {"block_out_channels": [8, 8], "latent_channels": 6, "norm_num_groups": 8}
    vae |= {
        f"{way}_block_types": [f"{name}Block2D"] * 2
        for way, name in (("down", "DownEncoder"), ("up", "UpDecoder"))
    }
    for name, content in (("unet", unet), ("vae", vae)):
        write_json(tmp_path / name / "config.json", content)
    write_json(tmp_path / "scheduler/scheduler_config.json", SCHEDULER)
    config = load_config(
        "mini", [f"prior.path={tmp_path}", "start.count=50", "train.steps=1", "render.size=16"]
    )
    prior = open_prior(config.prior, "cpu", build=random_networks)
    assert prior.latent_shape == (6, 8, 8) and prior.reduction == 2
    run = optimize.start_run(
        {k: torch.nn.Parameter(v) for k, v in start_state(config.start, 0).items()}, config
    )
    prompts = embed_views(prior, "a duck", config.prompts)
    optimize.optimize(run, load_method("gcs", {}), prior, prompts, config, 0, Stopwatch())
    assert run.rows[0]["gradient_rms"] > 0 and run.rows[0]["skipped"] == 0
