"""The analytic prior: the exact denoiser of a Gaussian mixture, whose trajectories are known to 1e-10.

Its components are latents with one shared standard deviation s; a prompt selects some of them. In the
variance-exploding form, y = z_t / alpha_t at noise level sigma (the ratio sigma_t / alpha_t), the density
is sum_k w_k N(y; c_k, r^2) with r^2 = s^2 + sigma^2, and

    dy/dsigma = eps(y, sigma) = sigma [y - m(y, sigma)] / r^2,    m = sum_k p_k(y, sigma) c_k,

with p the posterior probabilities of the components. With rho = 1/r this integrates to
y_b = r_b [y_a / r_a + sum_k c_k v_k], dv_k/drho = p_k: as many unknowns as components, no singularity at
sigma = 0, and nothing left to solve where one component has all the probability.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from segmentdreamer.diffusion.solver import alpha, noise_to_signal, scaled_linear_alphas_cumprod
from segmentdreamer.interfaces import Conditioning, Timestep

CLEAN = -1.0  # the time at which nothing is noise: the cumulative product before its first factor


class MixturePrior:
    """A `Prior` whose network is a formula; embeddings (B, 1, K) are log-weights of the components.

    centers: (K, 4, h, w), whose type is that of all results; deviation: s > 0; labels: the prompt of each
    component (default: none); weights: (K,) probabilities > 0 (default: equal); alphas_cumprod: (1000,)
    (default: Stable Diffusion's). Raises ValueError for s <= 0 or unequal lengths.
    """

    def __init__(
        self,
        centers: Tensor,
        deviation: float,
        labels: Sequence[str] | None = None,
        weights: Tensor | None = None,
        alphas_cumprod: Tensor | None = None,
    ):
        self.labels = list(labels if labels is not None else [""] * len(centers))
        weights = torch.ones(len(centers)) if weights is None else weights
        if deviation <= 0:
            raise ValueError(f"the components' deviation must be positive, got {deviation:g}")
        if not len(centers) == len(self.labels) == len(weights):
            raise ValueError(f"{len(centers)} centers, {len(self.labels)} labels, {len(weights)} weights")
        schedule = scaled_linear_alphas_cumprod() if alphas_cumprod is None else alphas_cumprod
        self.alphas_cumprod = schedule.to(centers)
        self.centers, self.deviation, self.log_weights = centers, deviation, weights.to(centers).log()
        self.nfe = 0
        self._mean = centers.mean(0)  # everything below is relative to it: fewer digits cancel
        self._flat = (centers - self._mean).flatten(1)  # (K, D)
        self._halves = self._flat.square().sum(1) / 2  # (K,)

    def encode(self, images: Tensor) -> Tensor:
        """The latents themselves: this prior knows no pixels."""
        return images

    decode = encode

    def encode_prompt(self, texts: Sequence[str]) -> Tensor:
        """Log-weights (B, 1, K), -inf for other labels; "" selects all; ValueError for an unknown one."""
        rows = []
        for text in texts:
            chosen = torch.tensor([text in ("", label) for label in self.labels])
            if not chosen.any():
                raise ValueError(f"no component has the label {text!r}")
            rows.append(self.log_weights.masked_fill(~chosen, -torch.inf))
        return torch.stack(rows)[:, None]

    def conditioning(self, labels: Sequence[str]) -> Conditioning:
        """One label a row as the prompt; all components as the negative and the empty prompt."""
        everything = self.encode_prompt([""])
        return Conditioning(self.encode_prompt(labels), everything, everything)

    def eps(self, x: Tensor, t: Timestep, cond: Tensor, graph: bool = False) -> Tensor:
        """Exact noise prediction for x (B, 4, h, w) at timestep t under log-weights (1 or B, 1, K)."""
        self.nfe += len(x)
        a = self.alphas_cumprod
        with torch.set_grad_enabled(graph):
            return self.eps_at(x / alpha(a, t), noise_to_signal(a, t), cond)

    def eps_at(self, y: Tensor, ratio: float | Tensor, cond: Tensor) -> Tensor:
        """Exact noise prediction for y = x / alpha (B, 4, h, w) at the noise level `ratio` >= 0."""
        sigma = torch.as_tensor(ratio, dtype=y.dtype).reshape(-1, 1)  # (1 or B, 1)
        variance = self.deviation**2 + sigma.square()
        flat = (y - self._mean).flatten(1)  # (B, D)
        logits = (flat @ self._flat.T - self._halves) / variance + cond[:, 0]  # (B, K)
        return (sigma / variance * (flat - logits.softmax(1) @ self._flat)).reshape(y.shape)

    def solve(self, y: Tensor, a: float, b: float, cond: Tensor, tolerance: float = 1e-12) -> Tensor:
        """y (B, 4, h, w) at noise level a carried along the exact trajectory to noise level b, either >= 0.

        Each row by an 8th-order Runge-Kutta method in log(rho), in float64; cond (1 or B, 1, K).
        """
        log_weights = cond.expand(len(y), -1, -1)[:, 0]
        rows = zip(y, log_weights, strict=True)
        return torch.stack([self._solve_row(*row, float(a), float(b), tolerance) for row in rows])

    def _solve_row(self, y: Tensor, log_weights: Tensor, a: float, b: float, tolerance: float) -> Tensor:
        from scipy.integrate import solve_ivp

        active = torch.isfinite(log_weights)
        c, flat = self._flat[active].double().numpy(), (y - self._mean).flatten().double().numpy()
        logs = log_weights[active].double().numpy()
        gram = c @ c.T  # (k, k)
        r_a, r_b = np.hypot(self.deviation, a), np.hypot(self.deviation, b)
        along, halves = c @ flat / r_a, gram.diagonal() / 2

        def slope(log_rho: float, v: np.ndarray) -> np.ndarray:
            rho = np.exp(log_rho)
            logits = rho * (along + gram @ v) - rho**2 * halves + logs
            p = np.exp(logits - logits.max())
            return rho * p / p.sum()

        span, precision = (-np.log(r_a), -np.log(r_b)), {"rtol": tolerance, "atol": tolerance / 10}
        v = solve_ivp(slope, span, np.zeros(len(c)), "DOP853", **precision).y[:, -1]
        return torch.from_numpy(r_b * (flat / r_a + v @ c)).to(y).reshape(y.shape) + self._mean

    def flow(self, z: Tensor, t: float, to: float, cond: Tensor, tolerance: float = 1e-12) -> Tensor:
        """`solve` for latents: z (B, 4, h, w) at time t carried to time `to`, real times in [CLEAN, 999]."""
        (a, b), (alpha_a, alpha_b) = levels(self.alphas_cumprod, [t, to])
        return alpha_b * self.solve(z / alpha_a, float(a), float(b), cond, tolerance)

    def march(self, z: Tensor, times: Sequence[float], cond: Tensor) -> Tensor:
        """z (B, 4, h, w) carried through real times by first-order steps, `ode_step` between timesteps."""
        ratios, alphas = levels(self.alphas_cumprod, times)
        y = z / alphas[0]
        for here, there in itertools.pairwise(ratios):
            y = y + (there - here) * self.eps_at(y, here, cond)
        return alphas[-1] * y


def levels(alphas_cumprod: Tensor, times: Sequence[float]) -> tuple[Tensor, Tensor]:
    """sigma/alpha and alpha at real times, log-linear in between; ValueError outside [CLEAN, 999]."""
    if not (min(times) >= CLEAN and max(times) <= len(alphas_cumprod) - 1):
        raise ValueError(f"times {min(times):g}..{max(times):g} leave [{CLEAN:g}, {len(alphas_cumprod) - 1}]")
    logs = np.concatenate([[0.0], alphas_cumprod.double().log().numpy()])  # CLEAN, 0, 1, ...
    log = torch.from_numpy(np.interp(times, np.arange(len(logs)) + CLEAN, logs)).to(alphas_cumprod)
    return torch.expm1(-log).sqrt(), (log / 2).exp()
