"""The configuration of a scale, as the workflow reads it: for the programs that run without the workflow."""

from __future__ import annotations

from typing import Any

import yaml
from snakemake.utils import update_config

from segmentdreamer.records import shipped

SCALES = {"mini": "workflow/config/default.yaml", "paper": "workflow/config/paper.yaml"}


def read_scale(name: str) -> dict[str, Any]:
    """The configuration of a scale, or of a workflow's YAML file, over the default one.

    Raises FileNotFoundError if there is no such scale or file.
    """
    source = shipped(SCALES.get(name, name))
    if not source.is_file():
        raise FileNotFoundError(f"no scale {name!r}; known: {', '.join(SCALES)}, or a YAML file")
    config = yaml.safe_load(shipped(SCALES["mini"]).read_text("utf-8"))
    update_config(config, yaml.safe_load(source.read_text("utf-8")) or {})
    return config


def scorers_of(name: str) -> dict[str, Any]:
    """What a scale scores with: clip, clip_weights, reward, inception, view_words, and size of its views."""
    config = read_scale(name)
    generation = yaml.safe_load(shipped(config["generation"]).read_text("utf-8"))
    folders = {key: shipped(config[key]) if config.get(key) else None for key in ("reward", "inception")}
    return {
        "clip": config["clip"]["name"],
        "clip_weights": str(shipped(config["clip"]["weights"])),
        **folders,
        "view_words": generation.get("prompts", {}).get("views", ["front", "side", "back"]),
        "size": config.get("views", {}).get("size"),
    }
