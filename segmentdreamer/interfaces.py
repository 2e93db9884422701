"""What meets at a loss: the prior that it asks, the text that it is under, the step, and its answer.

Nothing of ours is imported here. A method is a small frozen dataclass of hyper-parameters, each declared
once with its source; `update` is its pure equation, and calling it draws noise and times for `update`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Protocol

from annotated_types import Interval, Predicate
from torch import Tensor

Timestep = int | Tensor  # a value that indexes alphas_cumprod: one for the batch, or (B,)
Scalars = Mapping[str, float | int | Tensor]

# What a setting may be, beside its type; `config.build` holds every field to it.
Positive = Annotated[float, Interval(gt=0)]
Weight = Annotated[float, Interval(ge=0)]
Share = Annotated[float, Interval(ge=0, le=1)]
Count = Annotated[int, Interval(ge=1, le=10_000_000)]
Whole = Annotated[int, Interval(ge=0, le=10_000_000)]
Time = Annotated[int, Interval(ge=0, le=999)]  # a timestep
ASCENDING = Predicate(lambda span: span[0] <= span[1])

T_SPAN = 480  # 1000 (max_t_range .98 - t_range .5): how far warm-up lifts the time window


class Prior(Protocol):
    """What a loss may use of a diffusion model."""

    alphas_cumprod: Tensor  # (1000,) float32
    nfe: int  # network evaluations so far, counted per row of a batch

    def eps(self, x: Tensor, t: Timestep, cond: Tensor, graph: bool = False) -> Tensor:
        """Noise prediction for x (B, 4, h, w) at t under embeddings (B, L, D); graph: differentiable in x."""

    def encode(self, images: Tensor) -> Tensor:
        """Latents of images (B, 3, H, W) in [0, 1]; differentiable."""

    def decode(self, latents: Tensor) -> Tensor:
        """Images in [0, 1] of latents; no gradient."""

    def encode_prompt(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (len(texts), L, D)."""


@dataclass(frozen=True)
class Views:
    """From where one step's batch of B views was taken, and what surface it shows."""

    c2w: Tensor  # (B, 4, 4) camera to world, OpenCV axes
    alphas: Tensor  # (B, 1, H, W)
    points: Tensor | None = None  # (B, 3, H, W) of the surface, in the world; where depth was rendered

    def flipped(self) -> "Views":
        """Of mirrored pictures, taken by the same cameras."""
        points = None if self.points is None else self.points.flip(-1)
        return Views(self.c2w, self.alphas.flip(-1), points)


@dataclass(frozen=True)
class Conditioning:
    """Text embeddings of one step's batch of B views, and the views themselves.

    cond: (B, L, D) view-dependent prompts; neg: (1 or B, L, D) negative prompt; null: (1 or B, L, D)
    empty prompt; perp: (K, B, L, D) Perp-Neg's negatives with perp_weights (K, B), both or neither;
    source: (B, L, D) a method's second prompt (Method.source); views: None where nothing was rendered.
    """

    cond: Tensor
    neg: Tensor
    null: Tensor
    perp: Tensor | None = None
    perp_weights: Tensor | None = None
    source: Tensor | None = None
    views: Views | None = None


@dataclass(frozen=True)
class Progress:
    """Where an optimization stands: step k - 1 of `steps`, warming up over `warmup` steps."""

    step: int  # 0-based
    steps: int
    seed: int
    warmup: int = 1500  # official warmup_iter
    # What a method keeps between steps, tensors by name: empty at first; the run and its checkpoint carry it.
    state: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def warmup_rate(self) -> float:
        """r_k = 1 - min(k / warmup, 1), k counted from 1 (official train.py:364)."""
        return 1 - min((self.step + 1) / self.warmup, 1.0) if self.warmup > 0 else 0.0

    @property
    def shift(self) -> int:
        """Delta_k: how far warm-up lifts the time range; 480 falling to 0."""
        return int(T_SPAN * self.warmup_rate)

    @property
    def share(self) -> float:
        """k / K, the part of the run that is done, in [0, 1)."""
        return self.step / self.steps


@dataclass(frozen=True)
class Gradient:
    """A method's answer: descent directions and what to log."""

    latent: Tensor  # (B, 4, h, w), to be injected as d loss / d z_0
    pixel: Tensor | None = None  # (B, 3, H, W), likewise on the rendered images
    scalars: Scalars = field(default_factory=dict)


class Method(Protocol):
    """A score-distillation loss."""

    has_perp_neg: ClassVar[bool] = True  # whether it can be run under Perp-Neg
    target: str = "{prompt}"  # its own wording of the prompt, before the words of the view
    source: str = ""  # a second prompt, of {prompt} and {view}, embedded where it is not empty

    def __call__(self, prior: Prior, z_0: Tensor, text: Conditioning, progress: Progress) -> Gradient:
        """The gradient on latents z_0 (B, 4, h, w) at one step of an optimization."""
