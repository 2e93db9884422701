"""Write the state that a run starts from, as an asset: the table's row of zero steps.

    python -m segmentdreamer.start --scale mini --prompt-id p01 --seed 0 --out asset.ply

With --shape sphere it writes another control, a solid gray sphere.
"""

from pathlib import Path
from typing import Annotated, Literal

from typer import BadParameter

from segmentdreamer.command import Overrides, Program, Scale, inputs, outputs, settings


def start(
    out: Annotated[Path, outputs("the PLY to write")],
    shape: Annotated[
        Literal["start", "sphere"], settings("the run's start, or a solid gray sphere instead")
    ] = "start",
    scale: Scale = "mini",
    prompt_id: Annotated[str | None, inputs("the prompt whose start it is; a sphere needs none")] = None,
    seed: Annotated[int, settings("of the asset")] = 0,
    overrides: Overrides = None,
) -> None:
    """Write the state that an optimization starts from."""
    from segmentdreamer.config import load_config
    from segmentdreamer.scene.gaussians import save_ply
    from segmentdreamer.start.shapes import located, solid_sphere, start_seed, start_state

    config = load_config(scale, overrides).start
    if shape == "sphere":
        state = solid_sphere(config.radius, config.gray)
    elif prompt_id is None:
        raise BadParameter("the start of which prompt? Give --prompt-id")
    else:
        state = start_state(located(config, prompt_id, seed), start_seed(prompt_id, seed))
    save_ply(state, out)


main = Program(start)

if __name__ == "__main__":
    main()
