"""Write the states that runs start from, as assets: the table's row of zero steps.

    python -m segmentdreamer.start --scale mini --prompt-id p01 --seed 0 --out asset.ply

With --shape sphere it writes another control, a solid gray sphere.
"""

from pathlib import Path
from typing import Annotated, Literal

from segmentdreamer.command import BadUsage, Overrides, Program, Scale, inputs, outputs, settings


def start(
    out: Annotated[list[Path], outputs("the PLY to write, one for each prompt", metavar="FILE...")],
    shape: Annotated[
        Literal["start", "sphere"], settings("the run's start, or a solid gray sphere instead")
    ] = "start",
    scale: Scale = "mini",
    prompt_id: Annotated[
        list[str] | None, inputs("the prompts whose starts these are; a sphere needs none", metavar="ID...")
    ] = None,
    seed: Annotated[int, settings("of the asset")] = 0,
    overrides: Overrides = None,
) -> None:
    """Write the states that optimizations start from."""
    from segmentdreamer.config import load_config
    from segmentdreamer.scene.gaussians import save_ply
    from segmentdreamer.start.shapes import located, solid_sphere, start_seed, start_state

    config = load_config(scale, overrides).start
    names = prompt_id or []
    if shape == "sphere":
        states = [solid_sphere(config.radius, config.gray)] * len(out)
    elif len(names) == len(out):
        states = [start_state(located(config, name, seed), start_seed(name, seed)) for name in names]
    else:
        raise BadUsage("the start of which prompt? Give --prompt-id, as many values as of --out")
    for path, state in zip(out, states, strict=True):
        save_ply(state, path)


main = Program(start)

if __name__ == "__main__":
    main()
