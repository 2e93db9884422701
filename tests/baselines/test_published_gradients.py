"""The losses return what the authors' own code returned on one small random network, to 1e-4."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from toys import (
    ALPHAS,
    relative_error,
)

from baselines.cds import CDS, Pair
from baselines.gcs import GCS
from baselines.ism import ISM, Interval
from segmentdreamer.diffusion.times import Times
from segmentdreamer.interfaces import Conditioning
from segmentdreamer.prior.diffusers_prior import UNetPrior
from segmentdreamer.sctd import SCTD

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def published() -> dict:
    from diffusers import UNet2DConditionModel

    tensors = load_file(DATA / "official_gradients.safetensors")
    described = json.loads((DATA / "official_gradients.json").read_text())
    config = {k: v for k, v in described["unet"].items() if not k.startswith("_")}
    unet = UNet2DConditionModel(**config).eval()
    unet.load_state_dict({k[5:]: v.float() for k, v in tensors.items() if k.startswith("unet.")})
    inputs = {k[3:]: v.float() for k, v in tensors.items() if k.startswith("in.")}
    gradients = {k[5:]: v for k, v in tensors.items() if k.startswith("grad.")}
    conditioning = Conditioning(inputs["cond"], inputs["neg"], inputs["null"])
    prior = UNetPrior(lambda x, t, c: unet(x, t, encoder_hidden_states=c).sample, ALPHAS)
    common = (prior, inputs["latents"], inputs["noise"], conditioning)
    return {"common": common, "grad": gradients, "cases": described["cases"]}


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
