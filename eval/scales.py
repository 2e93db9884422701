"""The configuration of a scale, as the workflow reads it: for the programs that run without the workflow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

SCALES = {"mini": "workflow/config/default.yaml", "paper": "workflow/config/paper.yaml"}


def merge(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes` over it, section by section, as Snakemake lays one config file over another."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return merged


def read_scale(name: str) -> dict[str, Any]:
    """The configuration of a scale, or of a workflow's YAML file, over the default one.

    Raises FileNotFoundError if there is no such scale or file.
    """
    source = Path(SCALES.get(name, name))
    if not source.is_file():
        raise FileNotFoundError(f"no scale {name!r}; known: {', '.join(SCALES)}, or a YAML file")
    default = yaml.safe_load(Path(SCALES["mini"]).read_text())
    return merge(default, yaml.safe_load(source.read_text()) or {})


def scorers_of(name: str) -> dict[str, Any]:
    """What a scale scores with: clip, clip_weights, reward, inception, view_words, and size of its views."""
    config = read_scale(name)
    generation = yaml.safe_load(Path(config["generation"]).read_text())
    folders = {key: Path(config[key]) if config.get(key) else None for key in ("reward", "inception")}
    return {
        "clip": config["clip"]["name"],
        "clip_weights": config["clip"]["weights"],
        **folders,
        "view_words": generation.get("prompts", {}).get("views", ["front", "side", "back"]),
        "size": config.get("views", {}).get("size"),
    }
