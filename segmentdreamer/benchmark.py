"""Time the optimization step of each method against its arithmetic.

    python -m segmentdreamer.benchmark --scale paper --random-weights --out benchmark

prints a Markdown table and with --out writes benchmark.md and benchmark.json.
"""

import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

from segmentdreamer.command import (
    BadUsage,
    Device,
    Overrides,
    Program,
    Scale,
    Threads,
    check_threads,
    find_device,
    inputs,
    outputs,
    settings,
)

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: its threads must not spin


def benchmark(
    scale: Scale = "mini",
    methods: Annotated[list[str] | None, inputs("(default: those of Table 1)", metavar="METHOD...")] = None,
    guidance: Annotated[list[str] | None, inputs("(default: both)", metavar="cfg|perp_neg...")] = None,
    steps: Annotated[int, settings("steps to time", min=1)] = 30,
    warmup: Annotated[int, settings("steps before those", min=0)] = 5,
    random_weights: Annotated[
        bool,
        inputs("random ones in the shapes of prior.path or, without it, of SD 2.1-base", "--random-weights"),
    ] = False,
    views: Annotated[bool, settings("time the rendering of an asset's views as well", "--views")] = False,
    prompt: Annotated[str, inputs("the text")] = "a yellow duck",
    overrides: Overrides = None,
    device: Device = None,
    threads: Threads = 1,
    out: Annotated[Path | None, outputs("folder for benchmark.md and benchmark.json")] = None,
) -> None:
    """Time the optimization step of each method."""
    import torch

    from segmentdreamer.config import load_config
    from segmentdreamer.records import write_json, write_text
    from segmentdreamer.timing import step
    from segmentdreamer.timing.flops import GUIDANCE, METHODS, configured
    from segmentdreamer.timing.report import write_table

    if unknown := set(guidance or []) - set(GUIDANCE):
        raise BadUsage(f"no guidance {', '.join(unknown)}; known: {', '.join(GUIDANCE)}")
    check_threads(threads)
    torch.set_num_threads(threads)
    device = find_device(device)
    configs = {
        (name, kind): configured(scale, name, kind, overrides or [])
        for name in methods or METHODS
        for kind in guidance or GUIDANCE
    }
    base = load_config(scale, overrides)
    report = step.time_methods(configs, base, prompt, random_weights, steps, warmup, device, threads)
    if views:
        report = replace(report, views_seconds=step.time_views(base, device))
    page = write_table(report)
    print(page, end="")
    if out:
        write_json(out / "benchmark.json", asdict(report))
        write_text(out / "benchmark.md", page)


main = Program(benchmark)

if __name__ == "__main__":
    main()
