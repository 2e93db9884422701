"""One asset to make: all that it depends on, checked, and what it is."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from segmentdreamer.config import GenerationConfig
from segmentdreamer.interfaces import Method
from segmentdreamer.methods import check_settings, hyper_parameters, load_method, registry
from segmentdreamer.prior.diffusers_prior import check_prior, check_size
from segmentdreamer.recipe.identity import read_recipe
from segmentdreamer.start.shapes import located, start_digest

EDITED = "what it depends on was edited while it was made: this asset is of what stood there before"


@dataclass(frozen=True)
class Task:
    """What is asked for."""

    prompt: str
    prompt_id: str
    name: str  # of the method
    seed: int  # index, from which the run's seed is drawn
    scale: str
    overrides: tuple[str, ...]
    camera: str | None
    device: str
    threads: int

    def identify(self) -> str:
        """What the asset is, by files as they are now."""
        entry = registry()[self.name]
        kind = self.device.split(":")[0]
        recipe = read_recipe(self.scale, self.name, entry, self.overrides, kind, self.threads)
        return recipe.identity(self.prompt, self.prompt_id, self.camera, self.seed)


@dataclass(frozen=True)
class Job:
    """The same, checked."""

    task: Task
    method: Method
    chosen: dict[str, Any]  # its hyper-parameters
    config: GenerationConfig
    weights: str  # digest of the prior's folder
    start: str  # digest of the file that the run starts from; empty for a shape
    identity: str  # of all that the result depends on: what a checkpoint belongs to


def prepare(task: Task, planned: str = "") -> Job:
    """The job, its method, start and weights checked. planned: the identity that it should have.

    Raises ValueError and FileNotFoundError in one line for bad input, and for another identity.
    """
    if not task.prompt.strip():
        raise ValueError("an empty prompt")
    if type(task.seed) is not int:
        raise ValueError(f"seed {task.seed!r} is no int")
    config, name = check_settings(task.scale, [*task.overrides], task.name, task.camera), task.name
    config = dataclasses.replace(config, start=located(config.start, task.prompt_id, task.seed))
    method = load_method(name, config.methods.get(name, {}))
    if config.prompts.perp_neg and not getattr(method, "has_perp_neg", True):
        raise ValueError(f"{name} has no Perp-Neg; set prompts.perp_neg to false")
    check_size(config.prior, config.render.size, task.device)
    identity = task.identify()  # before the weights are read, as they may change meanwhile
    weights, start = check_prior(config.prior), start_digest(config.start)
    if planned and planned != identity:
        raise ValueError(
            f"{name} {task.prompt_id}, seed {task.seed}: planned as {planned}, it is {identity} now: code, "
            "settings, weights or the device differ from the plan's; give the command again"
        )
    return Job(task, method, hyper_parameters(method), config, weights, start, identity)
