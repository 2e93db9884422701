"""Steps that nobody times, so that nothing is compiled, loaded or started by one that counts."""

from copy import deepcopy

import torch

from segmentdreamer.config import GenerationConfig
from segmentdreamer.interfaces import Method
from segmentdreamer.optimize import Run, start_run, take_step
from segmentdreamer.prior.diffusers_prior import DiffusersPrior
from segmentdreamer.prior.view_prompts import ViewPrompts
from segmentdreamer.scene.density import build_strategy
from segmentdreamer.timing.stopwatch import Stopwatch


def warm_up(
    run: Run, method: Method, prior: DiffusersPrior, prompts: ViewPrompts, config: GenerationConfig, seed: int
) -> None:
    """Take the next step, one in the middle and the last on copies of the run, and forget them.

    Three, since methods ask other things of the networks at other times, and TorchScript optimizes what it
    has seen before. The run's bytes do not change: every draw belongs to (seed, step).
    """
    last = config.train.steps - 1
    if run.step > last or not len(run.params["means"]):
        return
    strategy, prior.watch = build_strategy(config.optimizer), Stopwatch()
    device = run.params["means"].device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        for step in sorted({run.step, (run.step + last) // 2, last}):
            copy = start_run(run.params, config)
            copy.step, copy.state = step, deepcopy(run.state)
            take_step(copy, method, prior, prompts, config, seed, strategy, prior.watch)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
