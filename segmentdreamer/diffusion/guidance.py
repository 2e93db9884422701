"""Conditioning and guidance: classifier-free guidance and Perp-Neg in one network call.

The official convention holds throughout: eps_omega = eps(n) + omega [eps(y) - eps(n)], where n is the
negative prompt; inversion and consistency functions use the empty prompt instead.
"""

import torch
from torch import Tensor

from segmentdreamer.interfaces import Conditioning, Prior, Timestep

PERP_FLOOR = 1e-6  # smallest |delta_+|^2 that is divided by
SKIPPED_WEIGHT = 1e-4  # negatives with a smaller weight count as absent


def unconditional(prior: Prior, x: Tensor, t: Timestep, text: Conditioning, graph: bool = False) -> Tensor:
    """eps(x, t, empty prompt); graph: differentiable in x."""
    return prior.eps(x, t, text.null.expand(len(x), -1, -1), graph)


def conditional(prior: Prior, x: Tensor, t: Timestep, text: Conditioning) -> Tensor:
    """eps(x, t, y) alone."""
    return prior.eps(x, t, text.cond)


def guided(prior: Prior, x: Tensor, t: Timestep, text: Conditioning, omega: float) -> Tensor:
    """eps_omega(x, t): CFG, or Perp-Neg where the text holds its negatives."""
    eps_neg, direction = guidance(prior, x, t, text)
    return eps_neg + omega * direction


def guidance(prior: Prior, x: Tensor, t: Timestep, text: Conditioning) -> tuple[Tensor, Tensor]:
    """eps(x, t, n) and the direction that guidance adds to it: eps(y) - eps(n), or Perp-Neg's."""
    neg = text.neg.expand(len(x), -1, -1)
    if text.perp is None or text.perp_weights is None:
        eps_neg, eps_cond = predict(prior, x, t, [neg, text.cond])
        return eps_neg, eps_cond - eps_neg
    eps_neg, eps_cond, *others = predict(prior, x, t, [neg, text.cond, *text.perp])
    delta = eps_cond - eps_neg
    return eps_neg, delta + _perpendicular(delta, [e - eps_neg for e in others], text.perp_weights)


def _perpendicular(delta: Tensor, others: list[Tensor], weights: Tensor) -> Tensor:
    """The weighted parts of the negatives' directions at right angles to delta, per sample, in float32."""
    norm = delta.square().sum((1, 2, 3), keepdim=True).clamp(min=PERP_FLOOR)
    total = torch.zeros_like(delta)
    for other, weight in zip(others, weights, strict=True):
        along = (other * delta).sum((1, 2, 3), keepdim=True) / norm
        kept = torch.where(weight.abs() > SKIPPED_WEIGHT, weight, torch.zeros_like(weight))
        total = total + kept.to(delta)[:, None, None, None] * (other - along * delta)
    return total


def predict(prior: Prior, x: Tensor, t: Timestep, embeddings: list[Tensor]) -> tuple[Tensor, ...]:
    """One network call for several conditions of the same latents; one prediction for each."""
    k = len(embeddings)
    times = t.repeat(k) if isinstance(t, Tensor) and t.ndim else t
    return prior.eps(x.repeat(k, 1, 1, 1), times, torch.cat(embeddings)).chunk(k)
