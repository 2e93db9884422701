"""The configuration of a scale, as the workflow reads it: for the programs that run without the workflow."""

from __future__ import annotations

from typing import Any

from snakemake.utils import update_config

from segmentdreamer.recipe.settings import check_form, read_yaml
from segmentdreamer.records import shipped

SCALES = {"mini": "workflow/config/default.yaml", "paper": "workflow/config/paper.yaml"}
SCHEMA = "workflow/schemas/config.schema.yaml"


def read_scale(name: str) -> dict[str, Any]:
    """The configuration of a scale, or of a workflow's YAML file, over the default one.

    Raises FileNotFoundError if there is no such scale or file, ValueError for what the workflow refuses.
    """
    source = shipped(SCALES.get(name, name))
    if not source.is_file():
        raise FileNotFoundError(f"no scale {name!r}; known: {', '.join(SCALES)}, or a YAML file")
    config, own = read_yaml(shipped(SCALES["mini"])), read_yaml(source)
    update_config(config, own)
    check_form(config, shipped(SCHEMA), source)
    return config


def scorers_of(name: str) -> dict[str, Any]:
    """What a scale scores with: clip, clip_weights, reward, inception, view_words, and size of its views."""
    config = read_scale(name)
    generation = read_yaml(shipped(config["generation"]))
    folders = {key: shipped(config[key]) if config.get(key) else None for key in ("reward", "inception")}
    return {
        "clip": config["clip"]["name"],
        "clip_weights": str(shipped(config["clip"]["weights"])),
        **folders,
        "view_words": generation.get("prompts", {}).get("views", ["front", "side", "back"]),
        "size": config.get("views", {}).get("size"),
    }
