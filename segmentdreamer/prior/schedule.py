"""What a scheduler's file says of a model: its noise schedule, and what its network predicts.

How a scheduler samples (spacing, offsets, thresholds) is nothing to a loss and not read. Source of the
formulas: diffusers 0.42.1, DDPMScheduler; not imported, since that costs a job's start seconds.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

STEPS = 1000  # the losses' times are values of a schedule of so many
# alphas_cumprod of the last step where betas are rescaled to a signal of zero, so that nothing is divided by
# zero: diffusers' own stand-in, the smallest number of float16.
NO_SIGNAL = 2.0**-24
PREDICTIONS = ("epsilon", "v_prediction")
# Samplers whose model is that of betas, whatever way they take through it; others mean other models.
SAMPLERS = ("DDIM", "DDPM", "PNDM", "DPMSolver", "Euler", "Heun", "KDPM2", "LMS", "DEIS", "UniPC", "LCM",
            "TCD", "SASolver", "IPNDM")  # fmt: skip
# Fields under which the schedule is another one, and what they are where they change nothing.
OTHERS: dict[str, tuple[Any, ...]] = {
    "snr_shift_scale": (None, 1),
    "use_flow_sigmas": (None, False),
    "flow_shift": (None, 1),
    "shift": (None, 1),
}


@dataclass(frozen=True)
class Schedule:
    """alphas_cumprod: (1000,) float32; prediction: "epsilon" or "v_prediction"."""

    alphas_cumprod: Tensor
    prediction: str


def read_schedule(config: Mapping[str, Any]) -> Schedule:
    """The schedule of a scheduler's configuration; ValueError for one that the losses cannot use."""
    name = str(config.get("_class_name", "DDIMScheduler"))
    if not name.startswith(SAMPLERS):
        raise ValueError(
            f"the scheduler {name} is of another kind of model; expected betas, as DDIMScheduler's"
        )
    for field, harmless in OTHERS.items():
        if config.get(field) not in harmless:
            raise ValueError(f"{field} {config[field]!r} makes another schedule, which is not supported")
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in PREDICTIONS:
        raise ValueError(f"prediction_type {prediction!r} is none of {', '.join(PREDICTIONS)}")
    try:
        betas = read_betas(config)
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"the betas are not numbers: {' '.join(str(error).split())[:100]}") from error
    steps = config.get("num_train_timesteps", len(betas))
    if {steps, len(betas)} != {STEPS}:
        raise ValueError(f"num_train_timesteps {steps}: the losses' times are those of a schedule of {STEPS}")
    if not bool(((betas > 0) & (betas < 1)).all()):
        raise ValueError("its betas do not lie between 0 and 1")
    alphas_cumprod = torch.cumprod(1 - betas, 0)
    if config.get("rescale_betas_zero_snr"):
        alphas_cumprod = without_signal_at_the_end(alphas_cumprod)
    return Schedule(alphas_cumprod.float(), prediction)


def read_betas(config: Mapping[str, Any]) -> Tensor:
    """The betas, float64, before any rescaling."""
    if config.get("trained_betas") is not None:
        return torch.tensor(config["trained_betas"], dtype=torch.float64)
    kind = config.get("beta_schedule")
    if kind not in BETAS:
        raise ValueError(f"beta_schedule {kind!r} is none of {', '.join(BETAS)}")
    try:
        return BETAS[kind](config)
    except KeyError as missing:
        raise ValueError(f"beta_schedule {kind} needs {missing.args[0]}") from missing


def linear(config: Mapping[str, Any], power: float = 1.0) -> Tensor:
    """From beta_start to beta_end, evenly spaced in beta^(1 / power)."""
    first, last = config["beta_start"] ** (1 / power), config["beta_end"] ** (1 / power)
    steps = config.get("num_train_timesteps", STEPS)
    return torch.linspace(first, last, steps, dtype=torch.float64) ** power


def sigmoid(config: Mapping[str, Any]) -> Tensor:
    """From beta_start to beta_end along a sigmoid (of GeoDiff)."""
    first, last = config["beta_start"], config["beta_end"]
    steps = config.get("num_train_timesteps", STEPS)
    return torch.linspace(-6, 6, steps, dtype=torch.float64).sigmoid() * (last - first) + first


def of_curve(curve: Callable[[Tensor], Tensor]) -> Callable[[Mapping[str, Any]], Tensor]:
    """Betas at most .999 whose alphas_cumprod is proportional to a curve over [0, 1]."""

    def betas(config: Mapping[str, Any]) -> Tensor:
        steps = config.get("num_train_timesteps", STEPS)
        values = curve(torch.arange(steps + 1, dtype=torch.float64) / steps)
        return (1 - values[1:] / values[:-1]).clamp(max=0.999)

    return betas


def cosine(part: Tensor) -> Tensor:
    """A squared cosine (Nichol and Dhariwal 2021)."""
    return ((part + 0.008) / 1.008 * math.pi / 2).cos() ** 2


def laplace(part: Tensor) -> Tensor:
    """alpha where half the logarithm of alpha^2 / sigma^2 is a Laplace variable (Hang et al. 2024)."""
    sign = torch.where(part > 0.5, -1.0, 1.0)
    snr = (-0.5 * sign * torch.log(1 - 2 * (0.5 - part).abs() + 1e-6)).exp()
    return (snr / (1 + snr)).sqrt()


def without_signal_at_the_end(alphas_cumprod: Tensor) -> Tensor:
    """alpha shifted and scaled to end at (nearly) zero (Lin et al. 2023, Algorithm 1)."""
    alpha = alphas_cumprod.sqrt()
    alpha = (alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])
    return alpha.square().clamp(min=NO_SIGNAL)


BETAS: dict[str, Callable[[Mapping[str, Any]], Tensor]] = {
    "linear": linear,
    "scaled_linear": lambda config: linear(config, power=2),
    "squaredcos_cap_v2": of_curve(cosine),
    "sigmoid": sigmoid,
    "laplace": of_curve(laplace),
}
