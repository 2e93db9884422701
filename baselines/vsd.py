"""VSD, variational score distillation (ProlificDreamer, Wang et al., NeurIPS 2023).

Beside the scene a copy of the network learns the scene's own pictures; its prediction stands where SDS has
the noise. Source: threestudio 28d9d80, threestudio/models/guidance/stable_diffusion_vsd_guidance.py:465-675,
configs/prolificdreamer.yaml, whose first stage this is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from segmentdreamer.diffusion.guidance import guided
from segmentdreamer.diffusion.halving import draw_halving
from segmentdreamer.diffusion.solver import add_noise, alpha, sigma
from segmentdreamer.diffusion.terms import draw_noise, rms
from segmentdreamer.interfaces import (
    Conditioning,
    Count,
    Gradient,
    Method,
    Prior,
    Progress,
    Share,
    Timestep,
    Weight,
)
from segmentdreamer.randomness import derive_seed, generator, place, send

Eps = Callable[[Tensor, Timestep], Tensor]


@dataclass(frozen=True)
class VSD(Method):
    """VSD with the official defaults (configs/prolificdreamer.yaml); what learns is the prior's network."""

    has_perp_neg: ClassVar[bool] = False
    omega: Weight = 7.5  # guidance_scale
    lam: Weight = 0.1  # the trunk's; lambda_vsd 1
    rank: Count = 4  # of the LoRA: the library's default
    rate: Weight = 1e-4  # its learning rate
    decay: Weight = 0.01  # its weight decay: AdamW's default
    drop: Share = 0.1  # of the steps in which it learns without camera
    halving: Share = 0.2  # from here on t is at most 500: 5,000 of 25,000
    source: str = "{prompt}"  # what it reads: no words of the view

    def __call__(self, prior: Any, z_0: Tensor, text: Conditioning, progress: Progress) -> Gradient:
        if not hasattr(prior, "learner"):
            raise ValueError("VSD needs a prior whose network is in PyTorch, so that a copy of it can learn")
        source, learner, state = text.source, prior.learner(self.rank), progress.state
        if source is None:
            raise ValueError("VSD needs the embeddings of its source prompt")
        if not state:
            state["weights"] = learner.begin(derive_seed(progress.seed, "lora"))
        c2w = torch.eye(4).expand(len(z_0), 4, 4) if text.views is None else text.views.c2w
        camera = place(c2w.flatten(1), z_0).float()

        def phi(x: Tensor, t: Timestep, seen: Tensor = camera, graph: bool = False) -> Tensor:
            return prior.ask(lambda *asked: learner(state["weights"], *asked, seen), x, t, source, graph)

        noise = draw_noise(z_0, progress, fixed=False, offset=0.0)
        t = draw_halving(progress, len(z_0), z_0.device, self.halving)
        gradient = self.update(prior, z_0, noise, text, t, phi)
        loss = self.learn(prior, z_0, progress, lambda x, t, seen: phi(x, t, camera * seen, graph=True))
        return Gradient(gradient.latent, scalars={**gradient.scalars, "lora_loss": loss})

    @torch.no_grad()
    def update(
        self, prior: Prior, z_0: Tensor, noise: Tensor, text: Conditioning, t: Timestep, phi: Eps
    ) -> Gradient:
        """g = lam sigma_t^2 [eps_omega(z_t, t) - phi(z_t, t)] on z_0 (B, 4, h, w); t: one, or (B,).

        phi: the learned network's noise prediction. Network rows per sample: 2 guided and phi's 1; a call has
        1 more, with its gradient, from which phi learns. Officially divided by B.
        """
        a, z_t = prior.alphas_cumprod, add_noise(prior.alphas_cumprod, z_0, noise, t)
        residual = guided(prior, z_t, t, text, self.omega) - phi(z_t, t)
        g = self.lam * sigma(a, t) ** 2 * residual
        return Gradient(g, scalars={"t": t, "residual_rms": rms(residual)})

    @torch.enable_grad()
    def learn(self, prior: Any, z_0: Tensor, progress: Progress, phi: Callable[..., Tensor]) -> Tensor:
        """One step of AdamW for the weights in the state, at times and with noise of its own; the loss.

        Lines 561-604. phi(x, t, seen) is differentiable in the weights; seen: whether it is told the camera.
        """
        state, g = progress.state, generator(progress.seed, "lora", progress.step)
        t = send(torch.randint(0, 1000, (len(z_0),), generator=g), z_0.device)
        noise, seen = torch.randn(z_0.shape, generator=g), float(torch.rand(1, generator=g) >= self.drop)
        weights = [weight.requires_grad_() for weight in state["weights"].values()]
        optimizer = torch.optim.AdamW(weights, self.rate, (0.9, 0.99), 1e-15, self.decay)
        if "moments" in state:
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state["moments"]})
        error = denoising_error(prior, lambda x, t: phi(x, t, seen), z_0, place(noise, z_0), t)
        # Of the sum, since in half precision the gradient of a mean is lost.
        for weight, slope in zip(weights, torch.autograd.grad(error.sum(), weights), strict=True):
            weight.grad = slope / error.numel()
        optimizer.step()
        state["moments"] = optimizer.state_dict()["state"]
        state["weights"] = {name: weight.detach() for name, weight in state["weights"].items()}
        return error.detach().mean()


def denoising_error(prior: Any, phi: Eps, z_0: Tensor, noise: Tensor, t: Timestep) -> Tensor:
    """The squared error of what phi predicts of z_t, noise or v as `prior.prediction` says, like z_0.

    phi answers with noise; of the same z_t, v differs by the difference in noise over alpha_t.
    """
    a = prior.alphas_cumprod
    difference = phi(add_noise(a, z_0, noise, t), t) - noise
    return (difference if prior.prediction == "epsilon" else difference / alpha(a, t)).square()
