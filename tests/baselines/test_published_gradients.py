"""The losses return what the authors' own code returned on one small random network, to 1e-4."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from toys import (
    ALPHAS,
    relative_error,
)

from baselines.cds import CDS, Pair
from baselines.cfd import CFD
from baselines.dreamdpo import DreamDPO
from baselines.gcs import GCS
from baselines.ism import ISM, Interval
from baselines.sdi import SDI, Route
from baselines.sds_bridge import SDSBridge
from baselines.vsd import VSD, denoising_error
from segmentdreamer.diffusion.times import Times
from segmentdreamer.interfaces import Conditioning, Progress, Timestep
from segmentdreamer.prior.diffusers_prior import UNetPrior
from segmentdreamer.sctd import SCTD

DATA = Path(__file__).parents[1] / "data"


def network(weights: dict[str, Tensor]) -> Callable[..., Tensor]:
    from diffusers import UNet2DConditionModel

    described = json.loads((DATA / "official_gradients.json").read_text())["unet"]
    unet = UNet2DConditionModel(**{k: v for k, v in described.items() if not k.startswith("_")}).eval()
    unet.load_state_dict(weights)
    return lambda x, t, c: unet(x, t, encoder_hidden_states=c).sample


@pytest.fixture(scope="module")
def published() -> dict:
    tensors = load_file(DATA / "official_gradients.safetensors")
    described = json.loads((DATA / "official_gradients.json").read_text())
    unet = network({k[5:]: v.float() for k, v in tensors.items() if k.startswith("unet.")})
    inputs = {k[3:]: v.float() for k, v in tensors.items() if k.startswith("in.")}
    gradients = {k[5:]: v for k, v in tensors.items() if k.startswith("grad.")}
    conditioning = Conditioning(inputs["cond"], inputs["neg"], inputs["null"])
    common = (UNetPrior(unet, ALPHAS), inputs["latents"], inputs["noise"], conditioning)
    others = torch.stack([inputs["side"], inputs["back"]])
    perp = replace(conditioning, perp=others, perp_weights=inputs["perp_weights"][1:])
    return {"common": common, "perp": perp, "grad": gradients, "cases": described["cases"]}


def test_sctd_returns_the_authors_gradient(published: dict) -> None:
    case = published["cases"]["sctd_two_step"]
    loss = SCTD(omega=case["cfg"], lam=case["lam"], t_tau=case["threshold"])
    g = loss.update(*published["common"], Times(case["t"], case["s"], case["e"]))
    assert relative_error(g.latent, published["grad"]["sctd_two_step"]) < 1e-4


def test_ism_returns_the_authors_gradient(published: dict) -> None:
    case = published["cases"]["ism"]
    loss = ISM(omega=case["cfg"], lam=case["lam"], hop=case["xs_delta_t"])
    g = loss.update(*published["common"], Interval(case["t"], case["s"]))
    assert relative_error(g.latent, published["grad"]["ism"]) < 1e-4


def test_cds_returns_the_authors_gradient(published: dict) -> None:
    case, (prior, z_0, noise, text) = published["cases"]["cds"], published["common"]
    loss = CDS(omega=case["cfg"] + 1, omega_end=None, weight="sds", clamp=None)
    for t in (case["t"], torch.full((4,), case["t"])):
        g = loss.update(prior, z_0, noise[:1].expand_as(noise), text, Pair(t, case["t_next"]))
        assert relative_error(g.latent, published["grad"]["cds"]) < 1e-4


def test_gcs_returns_the_authors_gradient(published: dict) -> None:
    case = published["cases"]["gcs_cc_only"]
    loss = GCS(omega=case["cfg"], lam=case["lam"], w_cc=1.0, w_gc=0.0, w_cp=0.0)
    g = loss.update(*published["common"], Times(case["t"], case["s"], case["e"]))
    assert relative_error(g.latent, published["grad"]["gcs_cc_only"]) < 1e-4


@pytest.fixture(scope="module")
def more(published: dict) -> dict:
    """The further methods: the same inputs, and a second network, which learns."""
    tensors = load_file(DATA / "more_gradients.safetensors")
    described = json.loads((DATA / "more_gradients.json").read_text())
    inputs = {k[4:]: v for k, v in tensors.items() if k.startswith("in2.")}
    learned = network({k[6:]: v.float() for k, v in tensors.items() if k.startswith("unet2.")})
    gradients = {k[5:]: v for k, v in tensors.items() if k.startswith("grad.")}
    prior, *rest, text = published["common"]
    common = (prior, *rest, replace(text, source=inputs["src"]))
    return {"common": common, "in": inputs, "unet": learned, "grad": gradients, "cases": described["cases"]}


@pytest.mark.parametrize("name", ["sdi_cfg_t640", "sdi_perp_t250"])
def test_sdi_returns_the_authors_gradient(name: str, more: dict, published: dict) -> None:
    case, (prior, z_0, _, text) = more["cases"][name], more["common"]
    perp = "perp" in name
    text = published["perp"] if perp else text
    loss = SDI(lam=1, eta=case["eta"], literal_s=not perp, delta=case["delta"])
    route = Route(case["t"], tuple(case["hop_points"]))
    g = loss.update(prior, z_0, more["in"]["sdi_hop_noise"], text, route)
    assert relative_error(g.latent / z_0[0].numel(), more["grad"][name]) < 1e-4
    share = (0.98 - case["t"] / 1000) / 0.73
    assert loss.draw_route(Progress(int(share * 10_000), 10_000, 0)) == route


@pytest.mark.parametrize(("name", "share"), [("bridge_s1_t300", 0.0), ("bridge_s2_t120", 0.8)])
def test_sds_bridge_returns_the_authors_gradient(name: str, share: float, more: dict) -> None:
    g = SDSBridge(lam=1).update(*more["common"], more["cases"][name]["t"], share)
    assert relative_error(g.latent, more["grad"][name]) < 1e-4


def test_cfd_returns_the_authors_gradient(more: dict) -> None:
    case = more["cases"]["cfd_t692"]
    g = CFD(omega=case["cfg"] + 1, lam=2 / 4).update(*more["common"], case["t"])
    assert relative_error(g.latent, more["grad"]["cfd_t692"]) < 1e-4


@pytest.mark.parametrize(("name", "kind"), [("vsd_eps_t420", "epsilon"), ("vsd_v_t250", "v_prediction")])
def test_vsd_returns_the_authors_gradient_and_the_loss_of_what_learns(
    name: str, kind: str, more: dict
) -> None:
    case, (_, z_0, *_) = more["cases"][name], more["common"]
    learned = UNetPrior(more["unet"], ALPHAS, prediction=kind)

    def phi(x: Tensor, t: Timestep) -> Tensor:
        return learned.eps(x, t, more["in"]["prompt"])

    g = VSD(lam=1 / 4).update(*more["common"], torch.tensor(case["t"]), phi)
    assert relative_error(g.latent, more["grad"][name]) < 1e-4
    error = denoising_error(learned, phi, z_0, more["in"]["lora_noise"], torch.tensor([7, 333, 640, 995]))
    assert float(error.mean()) == pytest.approx(case["lora_loss"], rel=1e-5)


def test_dreamdpo_returns_the_authors_gradient(more: dict) -> None:
    case, (prior, z_0, noise, text) = more["cases"]["dpo_t300"], more["common"]
    rewards = []

    def reward(clean: Tensor) -> Tensor:
        rewards.append(clean[:, 0].mean((1, 2)))
        return rewards[-1]

    pair = torch.stack([noise, more["in"]["noise2"]])
    g = DreamDPO(lam=1 / 4, beta=case["beta_dpo"]).update(prior, z_0, pair, text, case["t"], reward)
    assert relative_error(g.latent, more["grad"]["dpo_t300"]) < 1e-4
    torch.testing.assert_close(torch.stack(rewards), torch.tensor([case["scores_1"], case["scores_2"]]))
