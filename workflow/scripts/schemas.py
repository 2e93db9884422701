"""A configuration by its schema: numbers that are text read as such, and what it breaks told in one line."""

from __future__ import annotations

import math
import re
from typing import Any

import yaml
from jsonschema.exceptions import ValidationError

from segmentdreamer.recipe.settings import nearest

WRITTEN = {"array": "a list, as in '{key}=[a,b]'", "boolean": "True or False", "object": "{{key: value}}"}
LONGEST = 300  # letters of what jsonschema itself says
KINDS: dict[Any, tuple[type, ...]] = {"integer": (int,), "number": (int, float), "boolean": (bool,)}


def spell(config: dict[str, Any], schema: dict[str, Any]) -> None:
    """Read, in place, numbers and booleans that Snakemake's --config left as text: `{fov: .5}`, `false`."""
    for key, part in schema.get("properties", {}).items():
        value, kind = config.get(key), part.get("type")
        if isinstance(value, dict):
            spell(value, part)
        elif isinstance(value, str) and isinstance(kind, str) and kind in KINDS:
            config[key] = read_scalar(value, kind)


def read_scalar(text: str, kind: str) -> Any:
    """The finite number or the boolean that a text is; the text if it is none of this kind."""
    try:
        value = float(text) if kind == "number" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError):
        return text
    right = isinstance(value, KINDS[kind]) and isinstance(value, bool) == (kind == "boolean")
    return value if right and math.isfinite(value) else text


def broken(error: Exception, read: str) -> str:
    """The line for what Snakemake's `validate` raised of what was `read`; any other error's own words."""
    fault = error.__context__
    if not isinstance(fault, ValidationError):
        return str(error)
    row = re.search(r"validating row (\d+)", str(error))
    place = ".".join(map(str, fault.absolute_path))
    return f"{read}{f', prompt {int(row[1]) + 1}' if row else ''}: {tell(fault, place)}"


def tell(fault: ValidationError, place: str) -> str:
    """What is wrong at a place (`reference.count`; empty: at the top)."""
    within = f" in {place}" if place else ""
    if fault.validator == "additionalProperties":
        known = fault.schema.get("properties", {})
        pattern = "|".join(fault.schema.get("patternProperties", {})) or r"(?!)"
        unknown = [key for key in fault.instance if key not in known and not re.search(pattern, key)]
        return f"no key {unknown[0]!r}{within}{nearest(unknown[0], known)}" if unknown else fault.message
    if fault.validator == "type" and fault.validator_value in WRITTEN:
        return f"{place}: {fault.instance!r} is to be {WRITTEN[fault.validator_value].format(key=place)}"
    said = fault.message if len(fault.message) <= LONGEST else f"{fault.message[:LONGEST]} ..."
    return f"{place}: {said}" if place else said
