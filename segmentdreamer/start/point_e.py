"""Text to point cloud with Point-E, in an environment of its own (workflow/envs/point_e.txt).

    python -m segmentdreamer.start.point_e --prompt "a cat." --seed 0 --out results/paper/starts/p01-0.ply

writes 4,096 colored points as a PLY, whose header says what made it; where the file is there already and says
the same, nothing is done. Equal texts and seeds give equal clouds. Axes are Point-E's own:
`segmentdreamer.start.shapes` turns them. Runs offline, from --weights:

    base_40m_textvec.pt, upsample_40m.pt    Point-E's checkpoints, or .safetensors of the same names
    ViT-L-14.pt                             OpenAI's CLIP, whose text tower the base model needs

Source: Nichol et al. 2022, https://github.com/openai/point-e (MIT); settings of the official
utils/pointe_utils.py.
"""

import argparse
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segmentdreamer.randomness import derive_seed
from segmentdreamer.records import file_digest
from segmentdreamer.start.clouds import Cloud, read_comments, write_cloud

MODELS = {"base40M-textvec": "base_40m_textvec", "upsample": "upsample_40m"}  # name: file
CLIP = "ViT-L-14.pt"
CLIP_SHA256 = "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"  # as OpenAI's clip asks for
# Stage by stage, the base model's first; the second is given no text, and so no guidance.
SAMPLER: dict[str, Any] = {
    "num_points": [1024, 4096 - 1024],
    "aux_channels": ["R", "G", "B"],
    "guidance_scale": [3.0, 0.0],
    "model_kwargs_key_filter": ["texts", ""],
    "use_karras": [True, True],
    "karras_steps": [64, 64],
    "sigma_min": [1e-3, 1e-3],
    "sigma_max": [120, 160],
    "s_churn": [3, 0],
}
POINTS = sum(SAMPLER["num_points"])
INSTEAD = (
    "or start from a gray sphere (start.kind=sphere), or from clouds of your own "
    "(start.file=FOLDER/{prompt_id}-{seed}.ply)"
)


class PointEError(ValueError):
    """Point-E cannot run here; the message says what to do."""


def make_cloud(prompt: str, seed: int, weights: Path, out: Path, device: str) -> bool:
    """Sample the cloud of a text and seed into `out`, unless `out` holds just that; whether it was sampled.

    Raises PointEError where the package or a weights file is missing, or what it gave is no cloud.
    """
    files = find_weights(weights)
    request = describe(prompt, seed, files)
    if request in read_comments(out):
        return False
    if find_spec("point_e") is None:
        raise PointEError(
            "the package point-e is not installed here: install workflow/envs/point_e.txt (from GitHub) into "
            f"an environment of its own and run this with its Python, {INSTEAD}"
        )
    check_clip(files["clip"])
    write_cloud(to_cloud(draw_points(prompt, seed, files, device)), out, [request])
    return True


def find_weights(folder: Path) -> dict[str, Path]:
    """The file of each model and of CLIP; PointEError names those that are not there."""
    files, missing = {}, []
    for name, stem in MODELS.items():
        candidates = [folder / f"{stem}{suffix}" for suffix in (".safetensors", ".pt")]
        found = [path for path in candidates if path.is_file()]
        files[name] = (found or candidates)[0]
        missing += [] if found else [f"{stem}.pt"]
    files["clip"] = folder / CLIP
    missing += [] if files["clip"].is_file() else [CLIP]
    if missing:
        raise PointEError(f"{folder} lacks {', '.join(missing)}: put Point-E's weights there, {INSTEAD}")
    return files


def check_clip(path: Path) -> None:
    """PointEError unless the file is the one that the package clip takes without downloading it anew."""
    if (digest := file_digest(path)) != CLIP_SHA256:
        raise PointEError(f"{path} has SHA-256 {digest}, not OpenAI's {CLIP_SHA256}")


def describe(prompt: str, seed: int, files: dict[str, Path]) -> str:
    """All that a cloud depends on, as one line of JSON: text, seed, settings and the weights' digests."""
    digests = {name: file_digest(path) for name, path in files.items()}
    return json.dumps({"point-e": prompt, "seed": seed, **SAMPLER, "sha256": digests}, sort_keys=True)


def draw_points(prompt: str, seed: int, files: dict[str, Path], device: str) -> Tensor:
    """Point-E's output (6, 4096) for a text: x, y, z, and red, green, blue in [0, 255].

    The only function that needs the package. Draws depend on text, seed and the kind of device.
    """
    from point_e.diffusion.configs import DIFFUSION_CONFIGS, diffusion_from_config
    from point_e.diffusion.sampler import PointCloudSampler
    from point_e.models.configs import MODEL_CONFIGS, model_from_config

    where = torch.device(device)
    models, diffusions = [], []
    for name in MODELS:
        settings = {**MODEL_CONFIGS[name], "cache_dir": str(files["clip"].parent)}
        model = model_from_config(settings, where)
        model.load_state_dict(load_checkpoint(files[name]))
        models.append(model.eval())
        diffusions.append(diffusion_from_config(DIFFUSION_CONFIGS[name]))
    sampler = PointCloudSampler(device=where, models=models, diffusions=diffusions, **SAMPLER)
    torch.manual_seed(derive_seed(prompt, "point-e", seed))
    with torch.no_grad():
        return sampler.sample_batch(batch_size=1, model_kwargs={"texts": [prompt]})[0].float().cpu()


def load_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors or .pt file, on the CPU; PointEError if it is neither."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of two libraries, of several kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PointEError(f"{path} is not a readable checkpoint: {reason}") from error


def to_cloud(output: Tensor) -> Cloud:
    """The cloud of 4,096 points in an output (6, 4096) of Point-E's; PointEError if it is not one."""
    if output.shape != (6, POINTS) or not bool(torch.isfinite(output).all()):
        raise PointEError(
            f"Point-E gave {tuple(output.shape)} values, or not finite ones, instead of (6, {POINTS})"
        )
    return Cloud(output[:3].T.contiguous(), (output[3:].T.clamp(0, 255).round() / 255).contiguous())


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Make the point cloud of a text with Point-E.")
    parser.add_argument("--prompt", required=True, help="a short text, e.g. the table's init_prompt")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    parser.add_argument("--out", type=Path, required=True, help="the PLY to write")
    parser.add_argument(
        "--weights",
        type=Path,
        default=Path("weights/point-e"),
        help="folder of the three files (default: %(default)s)",
    )
    parser.add_argument(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="cpu or cuda (default: cuda where there is one)",
    )
    args = parser.parse_args(argv)
    try:
        made = make_cloud(args.prompt, args.seed, args.weights, args.out, args.device)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"{args.out}: {POINTS} points of {args.prompt!r}" if made else f"{args.out} is there already")


if __name__ == "__main__":
    main()
