"""The registry of metrics: the class behind each, its name, how it is printed; and the controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from segmentdreamer.recipe.settings import check_form, read_yaml

METRICS = Path(__file__).parent / "metrics.yaml"
SCHEMA = METRICS.with_name("metrics.schema.yaml")
CONTROL_TITLES = {
    "truth": "true scene (3D ceiling)",
    "prior": "the prior's own images (2D ceiling)",
    "shuffled": "{primary}'s assets under other prompts",
    "start": "zero optimization steps",
    "sphere": "gray sphere",
}
EXCHANGED = {"shuffled"}  # controls that are another row's assets under prompts of others
ARROWS = {"up": " ↑", "down": " ↓"}


@cache
def columns() -> dict[str, dict[str, Any]]:
    """Every metric of metrics.yaml, in the order of the table."""
    return read_yaml(METRICS)


def check_columns() -> None:
    """ValueError, in one line, for an entry of another form than metrics.schema.yaml has; for the doors."""
    check_form(columns(), SCHEMA, METRICS.name)


@dataclass(frozen=True)
class Measure:
    """A class that scores assets, and the columns that it fills."""

    path: str  # MODULE:NAME, from this package
    columns: tuple[str, ...]
    needs: frozenset[str]  # see metrics.yaml
    weights: str = ""  # the folder of its weights, unless another is named with the scorers

    @property
    def name(self) -> str:
        """What its weights and its time are called: its module's last name."""
        return self.path.partition(":")[0].rpartition(".")[2]

    def load(self, *given: Any) -> Any:
        """The metric, made of what is given (see scores.scorers.Metric); ValueError without the class."""
        module, _, name = self.path.partition(":")
        try:
            return getattr(import_module(f".{module}", __package__), name)(*given)
        except (ModuleNotFoundError, AttributeError) as error:
            text = f"{METRICS.name}: {self.columns[0]} has no class {self.path}: {error}"
            raise ValueError(text) from error


@cache
def measures() -> list[Measure]:
    """Every class of metrics.yaml once, in its order, those that need least first."""
    found: dict[str, list[str]] = {}
    for metric, spec in columns().items():
        if "class" in spec:
            found.setdefault(spec["class"], []).append(metric)
    every = []
    for path, names in found.items():
        spec = columns()[names[0]]
        every.append(Measure(path, (*names,), frozenset(spec.get("needs", ())), spec.get("weights", "")))
    return sorted(every, key=lambda measure: len(measure.needs))


def primary_method(methods: Sequence[str]) -> str:
    """The method that the others are compared with: SCTD, whose paper is measured here, or else the first."""
    return "sctd" if "sctd" in methods else methods[0]


def control_kind(name: str) -> str:
    """What a control is: `shuffled_sds`, of another method than the folder's primary one, is `shuffled`."""
    return next((kind for kind in CONTROL_TITLES if f"{name}_".startswith(f"{kind}_")), name)


def control_title(name: str, primary: str = "") -> str:
    """What a control is called where `primary` is the title of the method that others are compared with."""
    return CONTROL_TITLES.get(control_kind(name), name).format(primary=primary or "the primary method")


def heading(spec: dict[str, Any]) -> str:
    """A metric's name with the direction that is better, if there is one."""
    return spec["name"] + ARROWS.get(spec.get("better", ""), "")


def primary_columns(present: set[str]) -> list[str]:
    """The metrics of Table 1 among those present; one that yields to another present one is not."""
    shown = {m: spec for m, spec in columns().items() if m in present and spec.get("primary")}
    return [m for m, spec in shown.items() if not present & named(spec, "yields_to")]


def confirmatory_columns(present: set[str]) -> list[str]:
    """Those of primary_columns that are tested, as was decided before any run (metrics.yaml)."""
    known = columns()
    return [
        m
        for m in primary_columns(present)
        if known[m].get("confirmatory") and not present & named(known[m], "untested_with")
    ]


def named(spec: dict[str, Any], key: str) -> set[str]:
    """The metrics that a key of a metric's description names: one, several or none."""
    found = spec.get(key, [])
    return {found} if isinstance(found, str) else set(found)


def read_titles(path: Path | None) -> dict[str, str]:
    """method -> title, of a YAML file whose entries have a `title`, and of foreign.yaml beside it."""
    files = [path, path.with_name("foreign.yaml")] if path else []
    registered = [read_yaml(file) for file in files if file.exists()]
    return {name: spec["title"] for entries in registered for name, spec in entries.items()}
