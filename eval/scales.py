"""The configuration of a scale, as the workflow reads it: for the programs that run without the workflow."""

from __future__ import annotations

from typing import Any

import yaml
from snakemake.utils import update_config

from segmentdreamer.resources import shipped

SCALES = {"mini": "workflow/config/default.yaml", "paper": "workflow/config/paper.yaml"}


def read_scale(name: str) -> dict[str, Any]:
    """The configuration of a scale, or of a workflow's YAML file, over the default one.

    Raises FileNotFoundError if there is no such scale or file.
    """
    source = shipped(SCALES.get(name, name))
    if not source.is_file():
        raise FileNotFoundError(f"no scale {name!r}; known: {', '.join(SCALES)}, or a YAML file")
    config = yaml.safe_load(shipped(SCALES["mini"]).read_text())
    update_config(config, yaml.safe_load(source.read_text()) or {})
    return config
