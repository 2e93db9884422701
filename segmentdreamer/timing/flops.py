"""The arithmetic of a step: floating-point operations of the networks, counted on their shapes.

    python -m segmentdreamer.timing.flops --scale paper --rate 790

prints for every method what a run computes and how long that takes at RATE TFLOP/s: no program can be
faster. A multiply-add counts as two operations; what is no matrix product or convolution counts as none.
With --yaml it prints the figures that the workflow's plan reads, workflow/config/arithmetic.yaml.
"""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import yaml
from torch import Tensor

from segmentdreamer.command import Program, Scale, inputs, outputs, settings
from segmentdreamer.config import GenerationConfig, load_config
from segmentdreamer.diffusion.solver import scaled_linear_alphas_cumprod
from segmentdreamer.interfaces import Conditioning, Method, Progress
from segmentdreamer.methods import load_method, registry, trunk_settings
from segmentdreamer.prior.diffusers_prior import UNetPrior
from segmentdreamer.prior.random_networks import TOKENS, build_modules, write_shapes
from segmentdreamer.records import cache_folder, write_json

METHODS = ("sds", "ism", "cds", "gcs", "sctd")  # of Table 1
WORK_FORMAT = 1  # of the cached counts; raise it when they change
GUIDANCE = {"cfg": False, "perp_neg": True}  # name: prompts.perp_neg


@dataclass(frozen=True)
class Work:
    """Floating-point operations of each network for one picture."""

    unet: int  # one evaluation
    encode: int
    encode_backward: int  # the gradient on the picture alone: the weights are frozen
    decode: int
    unet_backward: int  # the gradient on the latents alone

    def total(self, evaluations: float, encoded: float, decoded: float, backwards: float = 0) -> float:
        """Operations of rows of the UNet, pictures encoded with gradient and decoded, rows differentiated."""
        unet = evaluations * self.unet + backwards * self.unet_backward
        return unet + encoded * (self.encode + self.encode_backward) + decoded * self.decode


def count_work(folder: Path, side: int, tokens: int | None = None) -> Work:
    """The work of a pipeline folder's networks on pictures of `side` pixels; needs its JSON files alone.

    tokens: of a text (default: as its tokenizer pads, without one as Stable Diffusion's). On the meta device
    fused attention is decomposed into its two products, so that it is counted.
    """
    unet, vae = (module.eval().requires_grad_(False) for module in build_modules(folder, "meta"))
    reduction = 2 ** (len(vae.config["block_out_channels"]) - 1)
    with torch.device("meta"):
        z = torch.empty(
            1, unet.config["in_channels"], side // reduction, side // reduction, requires_grad=True
        )
        cond = torch.empty(1, tokens or read_tokens(folder), unet.config["cross_attention_dim"])
        picture = torch.empty(1, 3, side, side, requires_grad=True)
        t = torch.full((1,), 500)
    moments = vae.encode(picture).latent_dist.parameters.sum()
    eps = unet(z, t, encoder_hidden_states=cond).sample.sum()
    with torch.no_grad():
        return Work(
            unet=count(lambda: unet(z, t, encoder_hidden_states=cond)),
            encode=count(lambda: vae.encode(picture)),
            encode_backward=count(lambda: torch.autograd.grad(moments, picture)),
            decode=count(lambda: vae.decode(z)),
            unet_backward=count(lambda: torch.autograd.grad(eps, z)),
        )


def read_tokens(folder: Path) -> int:
    """To how many tokens a pipeline folder's tokenizer pads."""
    path = folder / "tokenizer" / "tokenizer_config.json"
    return json.loads(path.read_text("utf-8"))["model_max_length"] if path.is_file() else TOKENS


def known_work(folder: Path, side: int, digest: str) -> Work:
    """As count_work, counted once a machine, since that takes seconds; `digest`: SHA-256 of the weights."""
    path = cache_folder() / f"work-{digest[:16]}-{side}-{WORK_FORMAT}.json"
    if not path.is_file():
        write_json(path, asdict(count_work(folder, side)))
    return Work(**json.loads(path.read_text("utf-8")))


def count(function: Callable[[], Any]) -> int:
    """Floating-point operations of a call."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter:
        function()
    return counter.get_total_flops()


class Pupil:
    """What a method may train beside the scene, with one weight."""

    def begin(self, _: int) -> dict[str, Tensor]:
        return {"shift": torch.zeros(1)}

    def __call__(self, weights: dict[str, Tensor], x: Tensor, *_: Tensor) -> Tensor:
        return x + weights["shift"]


class Counter(UNetPrior):
    """A prior of one-pixel latents that only counts what a method asks of it."""

    def __init__(self) -> None:
        super().__init__(lambda x, t, cond: x, scaled_linear_alphas_cumprod())

    def encode(self, images: Tensor) -> Tensor:
        return images

    def decode(self, latents: Tensor) -> Tensor:
        self.decoded += len(latents)
        return latents[:, :3]

    def learner(self, _: int) -> Pupil:
        return Pupil()

    def encode_prompt(self, texts: Sequence[str]) -> Tensor:
        return torch.zeros(len(texts), 1, 1)


def count_evaluations(
    method: Method, perp_neg: bool, steps: int, warmup: int, every: int = 1
) -> tuple[float, float]:
    """UNet evaluations and decodings a view and step, on average over each `every`th step of a run."""
    prior, z_0, text = Counter(), torch.zeros(1, 4, 1, 1), torch.zeros(1, 1, 1)
    perp, weights = (torch.zeros(2, 1, 1, 1), torch.zeros(2, 1)) if perp_neg else (None, None)
    conditioning = Conditioning(text, text, text, perp, weights, source=text)
    looked = range(min(every // 2, steps - 1), steps, every)
    for step in looked:
        method(prior, z_0, conditioning, Progress(step, steps, 0, warmup))
    return prior.nfe / len(looked), prior.decoded / len(looked)


def shapes(folder: Path, scratch: Path) -> Path:
    """The pipeline folder, or where it is not there one of SD 2.1-base's shapes in `scratch`."""
    return folder if (folder / "unet" / "config.json").is_file() else write_shapes(scratch)


def configured(scale: str, method: str, guidance: str, overrides: Sequence[str] = ()) -> GenerationConfig:
    """A scale's configuration for a method under "cfg" or "perp_neg"."""
    perp_neg = f"prompts.perp_neg={str(GUIDANCE[guidance]).lower()}"
    return load_config(scale, [*trunk_settings(method), *overrides, perp_neg])


def scale_work(config: GenerationConfig) -> Work:
    """The work of a scale's networks on a training view; without its prior's folder, of SD 2.1-base's.

    ValueError for a prior of one's own: the operations of a folder's networks alone can be counted.
    """
    if config.prior.class_:
        raise ValueError(f"prior.class {config.prior.class_}: a pipeline folder's networks alone are counted")
    with tempfile.TemporaryDirectory() as scratch:
        return count_work(shapes(Path(config.prior.path), Path(scratch)), config.render.size)


def scale_evaluations(scale: str, name: str, every: int) -> dict[str, tuple[float, float]]:
    """By guidance, `count_evaluations` of a method at a scale; none under Perp-Neg for one without it."""
    found = {}
    for guidance, perp_neg in GUIDANCE.items():
        config = configured(scale, name, guidance)
        method = load_method(name, config.methods.get(name, {}))
        if not perp_neg or getattr(method, "has_perp_neg", True):
            steps, warmup = config.train.steps, config.train.warmup
            found[guidance] = count_evaluations(method, perp_neg, steps, warmup, every)
    return found


def arithmetic(scale: str, every: int) -> dict[str, Any]:
    """What arithmetic.yaml says: TFLOP of a view, evaluations and decodings of a view and step."""
    work, methods = asdict(scale_work(load_config(scale))), {}
    for name in (name for name, entry in registry().items() if "class" in entry):
        found = scale_evaluations(scale, name, every)
        counts = {guidance: round(nfe, 2) for guidance, (nfe, _) in found.items()}
        methods[name] = {**counts, "decode": round(found["cfg"][1], 2)}
    return {"arithmetic": {name: round(flop / 1e12, 3) for name, flop in work.items()}, "methods": methods}


def table(scale: str, methods: Sequence[str], rate: float, every: int) -> str:
    """A run of each method in numbers, as a Markdown table; rate: FLOP/s."""
    config = load_config(scale)
    work = scale_work(config)
    lines = [
        f"UNet {work.unet / 1e12:.3f}, encode {work.encode / 1e12:.3f} + {work.encode_backward / 1e12:.3f} "
        f"backward, decode {work.decode / 1e12:.3f} TFLOP a view of {config.render.size} px",
        "",
        "| method | guidance | NFE | decoded | TFLOP a view | PFLOP a run | "
        f"minutes at {rate / 1e12:g} TFLOP/s |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in methods:
        for guidance, (nfe, decoded) in scale_evaluations(scale, name, every).items():
            view = work.total(nfe, 1, decoded)
            run = view * config.cameras.batch * config.train.steps
            lines.append(
                f"| {name} | {guidance} | {nfe:.2f} | {decoded:g} | {view / 1e12:.3f} | {run / 1e15:.1f} | "
                f"{run / rate / 60:.1f} |"
            )
    return "\n".join(lines)


def flops(
    scale: Scale = "paper",
    methods: Annotated[list[str] | None, inputs("(default: those of Table 1)", metavar="METHOD...")] = None,
    rate: Annotated[float, settings("TFLOP/s of large matrix products; about an H200's", min=1e-3)] = 790.0,
    every: Annotated[int, settings("look at every Nth step", min=1)] = 10,
    plan: Annotated[bool, outputs("the figures of the workflow's plan instead", "--yaml")] = False,
) -> None:
    """Count the arithmetic of a run of each method."""
    if plan:
        print(yaml.safe_dump(arithmetic(scale, every), sort_keys=False), end="")
    else:
        print(table(scale, methods or METHODS, 1e12 * rate, every))


main = Program(flops)

if __name__ == "__main__":
    main()
