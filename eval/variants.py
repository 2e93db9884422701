"""Variants: a method with some of its hyper-parameters changed, and the ablations that compare them.

A variant's name is a path that stands wherever a method's name does: `sctd/N~3/redraw_t~True`. A field
with a dot is a setting of the trunk, `gcs/brightness.enabled~False`, and wins over the method's own.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from segmentdreamer.recipe.settings import read_yaml

SEPARATOR = "~"
# How readers call a field: its name, or each of its values; others are called as they are written.
NAMES = {
    "t_tau": "time threshold",
    "omega": "guidance scale",
    "N": "segments N",
    "nfe": "network evaluations",
    "cameras.batch": "views a step",
    "train.stretch": "length of the schedule",
    "prompts.canonical": "share of the front's words",
}
WORDS = {
    ("redraw_t", "false"): "t lifted",
    ("redraw_t", "true"): "t redrawn",
    ("brightness.enabled", "false"): "no BEG",
    ("brightness.enabled", "true"): "BEG",
}


@dataclass(frozen=True)
class Variant:
    """One point of an ablation."""

    name: str  # sctd/N~3/redraw_t~True
    method: str
    fields: dict[str, Any]  # what differs: hyper-parameters, and settings of the trunk (with a dot)
    label: str  # what plots and tables call it, where one was given

    @property
    def hyper_parameters(self) -> dict[str, Any]:
        return {field: value for field, value in self.fields.items() if "." not in field}


def read_ablation(path: Path | str, name: str) -> dict[str, Any]:
    """One entry of the file of ablations; ValueError if there is none of this name."""
    ablations = read_yaml(Path(path))
    if name not in ablations:
        raise ValueError(f"{path}: no ablation {name!r}; known: {', '.join(ablations)}")
    return ablations[name]


def variants(ablation: dict[str, Any]) -> list[Variant]:
    """Every variant of an ablation, in the order of its space: a list of products of values.

    A product may carry a `label` (text); its other keys are `method` and hyper-parameters, each a list.
    """
    found: dict[str, Variant] = {}
    for product in ablation["space"]:
        values = {key: value for key, value in product.items() if key not in ("label", "method")}
        for method in product["method"]:
            for point in itertools.product(*values.values()):
                fields = dict(zip(values, point, strict=True))
                name = variant_name(method, fields)
                found.setdefault(name, Variant(name, method, fields, product.get("label", "")))
    return list(found.values())


def official_variants(chosen: list[Variant], official: list[dict[str, Any]]) -> dict[str, str]:
    """The variant with which each variant is compared: the official one of its method, else the only one.

    official: what an ablation calls so; each mapping names fields (`method` and `label` among them) that a
    variant must have, and of each method the first mapping that fits any of its variants counts; without
    one it is the first variant of all. Raises ValueError if two variants of a method fit, or a variant has
    nothing to be compared with.
    """
    if not official:
        return {variant.name: chosen[0].name for variant in chosen}
    found: dict[str, str] = {}
    for mapping in official:
        fitting: dict[str, list[str]] = {}
        for variant in chosen:
            known = {"method": variant.method, "label": variant.label, **variant.fields}
            if variant.method not in found and mapping.items() <= known.items():
                fitting.setdefault(variant.method, []).append(variant.name)
        for method, names in fitting.items():
            if len(names) > 1:
                raise ValueError(f"official {mapping} fits {', '.join(names)}; it must name one of {method}")
            found[method] = names[0]
    alone = next(iter(found.values())) if len(found) == 1 else ""
    against = {variant.name: found.get(variant.method, alone) for variant in chosen}
    if missing := [name for name, other in against.items() if not other]:
        raise ValueError(f"official {official} names nothing to compare {', '.join(missing)} with")
    return against


def variant_name(method: str, fields: dict[str, Any]) -> str:
    return "/".join([method, *(f"{field}{SEPARATOR}{written(value)}" for field, value in fields.items())])


def written(value: Any) -> str:
    """A value as a folder's name states it, to be read as YAML; a slash (of a path) as in addresses, %2F."""
    return "null" if value is None else "''" if value == "" else str(value).replace("/", "%2F")


def method_of(name: str) -> str:
    return name.split("/")[0]


def fields_of(name: str) -> dict[str, Any]:
    """The hyper-parameters that a variant's name states, read as YAML; lists stay text."""
    found = {field: (yaml.safe_load(value), value) for field, value in pairs_of(name)}
    return {field: text if isinstance(read, list) else read for field, (read, text) in found.items()}


def pairs_of(name: str) -> list[tuple[str, str]]:
    """(field, value as YAML) of a variant's name."""
    pairs = (part.partition(SEPARATOR) for part in name.split("/")[1:])
    return [(field, value.replace("%2F", "/")) for field, _, value in pairs]


def overrides(name: str) -> list[str]:
    """A variant as settings for `segmentdreamer.generate --set`: methods.METHOD.FIELD, or the trunk's."""
    section = f"methods.{method_of(name)}."
    return [f"{field if '.' in field else section + field}={value}" for field, value in pairs_of(name)]


def describe(chosen: list[Variant], titles: dict[str, str]) -> dict[str, str]:
    """A short text for each variant: its label, what of it varies among those chosen, or both if need be."""
    keys = dict.fromkeys(key for variant in chosen for key in variant.fields)
    varying = [key for key in keys if len({str(v.fields.get(key)) for v in chosen}) > 1]
    several = len({variant.method for variant in chosen}) > 1
    texts = {}
    for variant in chosen:
        own = [in_words(key, plain(variant.fields[key])) for key in varying if key in variant.fields]
        alone = sum(other.label == variant.label for other in chosen) == 1
        title = variant.label or (titles.get(variant.method, variant.method) if several else "")
        parts = [title] if variant.label and alone else [title, *own]
        texts[variant.name] = ", ".join(filter(None, parts))
    return texts


def in_words(field: str, value: str) -> str:
    """One field of a variant, as figures and tables call it; value: as YAML has it."""
    return WORDS.get((field, value), f"{NAMES.get(field, field)} = {value}")


def plain(value: Any) -> str:
    """A value as it is written in YAML."""
    return json.dumps(value) if isinstance(value, bool | None) else str(value)
