"""Defaults are the authors' values, all of them; where one is not, the table says so."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from segmentdreamer.config import GenerationConfig, load_config
from segmentdreamer.methods import load_method, registry

ROOT = Path(__file__).parents[2]
TABLE: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "tests/data/official_defaults.yaml").read_text())


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def ours(entry: Any) -> Any:
    return entry[0] if isinstance(entry, list) else entry["ours"]


def load(name: str) -> Any:
    module, _, cls = name.partition(":")
    return getattr(importlib.import_module(module), cls)


@pytest.mark.parametrize("name", TABLE)
def test_every_default_is_the_listed_one(name: str) -> None:
    defaults = {f.name: plain(f.default) for f in dataclasses.fields(load(name))}
    assert defaults == {field: ours(entry) for field, entry in TABLE[name].items()}


def test_every_method_and_every_part_of_the_trunk_is_listed() -> None:
    # An entry without a source claims none: one of the reader's own.
    sourced = [entry for entry in registry().values() if {"class", "source"} <= set(entry)]
    assert {entry["class"] for entry in sourced} <= set(TABLE)
    # A prior is a folder and how it runs, a start the mini scale's: neither has defaults of the authors'.
    parts = {f.default_factory for f in dataclasses.fields(GenerationConfig)} - {dataclasses.MISSING, dict}
    listed = {load(name) for name in TABLE}
    assert {part.__name__ for part in parts if part not in listed} == {"StartConfig"}


def test_every_value_names_its_source_and_a_deviation_is_one() -> None:
    for name, fields in TABLE.items():
        for field, entry in fields.items():
            if isinstance(entry, list):
                _value, source = entry
            else:
                source = entry["source"]
                assert entry.keys() <= {"official", "ours", "source"}, f"{name}.{field}"
                assert entry.get("official") != entry["ours"], f"{name}.{field}"
            assert isinstance(source, str) and source, f"{name}.{field}"


def test_the_papers_scale_changes_what_its_file_says_and_nothing_else() -> None:
    config, written = (
        load_config("paper"),
        yaml.safe_load((ROOT / "segmentdreamer/scales/paper.yaml").read_text()),
    )
    for part in dataclasses.fields(GenerationConfig):
        default = part.default_factory
        if part.name in written and default not in (dataclasses.MISSING, dict):
            changed = {
                field.name
                for field in dataclasses.fields(default)
                if getattr(getattr(config, part.name), field.name) != getattr(default(), field.name)
            }
            assert changed <= set(written[part.name]) | {"preset"}, part.name
    # "prompt" means an object's cameras here, which are the defaults
    assert load_method("cds", config.methods["cds"]).omega == 41
