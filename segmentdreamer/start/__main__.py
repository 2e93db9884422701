"""Write the state that a run starts from, as an asset: the table's row of zero steps.

    python -m segmentdreamer.start --scale mini --prompt-id p01 --seed 0 --out asset.ply

With --shape sphere it writes another control, a solid gray sphere.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from segmentdreamer.config import load_config
from segmentdreamer.scene.gaussians import save_ply
from segmentdreamer.start.shapes import located, solid_sphere, start_seed, start_state


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Write the state that an optimization starts from.")
    parser.add_argument("--shape", choices=["start", "sphere"], default="start",
                        help="the run's start, or a solid gray sphere instead (default: start)")  # fmt: skip
    parser.add_argument("--scale", default="mini", help="mini, or a YAML file of your own (default: mini)")
    parser.add_argument("--prompt-id", help="the prompt whose start it is; a sphere needs none")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE",
                        help="override a configuration value; may be given again")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="the PLY to write")
    args = parser.parse_args(argv)
    if args.shape == "start" and args.prompt_id is None:
        parser.error("the start of which prompt? Give --prompt-id")
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    try:
        config = load_config(args.scale, args.set).start
        if args.shape == "sphere":
            state = solid_sphere(config.radius, config.gray)
        else:
            config = located(config, args.prompt_id, args.seed)
            state = start_state(config, start_seed(args.prompt_id, args.seed))
        save_ply(state, args.out)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
