"""The file of claims, read and checked: contrasts, what they are read from, margins and thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from segmentdreamer.recipe.settings import read_yaml

from .verdicts import ABSOLUTE, COMPARED, TOLERANT, Question

DIRECTIONS = (*COMPARED, *TOLERANT, *ABSOLUTE)
OPPOSITE = {"higher": "lower", "not lower": "not higher", "above": "below"}
OPPOSITE |= {back: there for there, back in OPPOSITE.items()}
NEEDS = ("", "alone", "consistency", "truth")


@dataclass(frozen=True)
class Reading:
    """Metrics that decide a contrast together. needs: what must hold on both sides (eval.claims.evidence).

    turned: more of these metrics is less of what the contrast names.
    """

    metrics: tuple[str, ...]
    needs: str = ""
    turned: bool = False


@dataclass(frozen=True)
class Bound:
    """A margin or a threshold, and where it comes from."""

    value: float
    reason: str


@dataclass(frozen=True)
class Contrast:
    """`metric` of `of` lies in `direction` of that of `than`, or without it of the threshold `bound`."""

    metric: str  # a name of metrics.yaml or a key of the file's `readings`
    of: str
    direction: str
    than: str = ""
    bound: str = ""  # a key of the file's `margins` or `thresholds`


@dataclass(frozen=True)
class Claim:
    id: str
    text: str
    where: str
    source: str
    contrasts: list[Contrast]


@dataclass(frozen=True)
class Ledger:
    """The file of claims. margins: name -> scale -> margin; thresholds: name -> metric -> threshold."""

    claims: list[Claim]
    readings: dict[str, list[Reading]]
    margins: dict[str, dict[str, Bound]]
    thresholds: dict[str, dict[str, Bound]]

    def read_as(self, metric: str) -> list[Reading]:
        """The readings of a contrast's metric, by preference."""
        return self.readings.get(metric, [Reading((metric,))])

    def question(self, contrast: Contrast, reading: Reading, metric: str, scale: str) -> Question | None:
        """What is asked of this metric at this scale; None without a margin of this scale."""
        direction = contrast.direction
        if reading.turned:
            direction = OPPOSITE.get(direction, direction)
        if direction in COMPARED:
            return Question(direction)
        named = self.thresholds if direction in ABSOLUTE else self.margins
        bound = named[contrast.bound].get(metric if direction in ABSOLUTE else scale)
        return None if bound is None else Question(direction, bound.value)


def read_ledger(path: Path) -> Ledger:
    """The file of claims, checked; ValueError in one line that names the claim, margin or threshold."""
    content = read_yaml(path)
    try:
        ledger = Ledger(
            [read_claim(entry) for entry in content["claims"]],
            {name: [*map(read_reading, found)] for name, found in content.get("readings", {}).items()},
            read_bounds(content.get("margins", {})),
            read_bounds(content.get("thresholds", {})),
        )
        ids = [claim.id for claim in ledger.claims]
        for claim in ledger.claims:
            if ids.count(claim.id) > 1:
                raise ValueError(f"claim {claim.id} stands twice")
            for contrast in claim.contrasts:
                if wrong := check_contrast(contrast, ledger):
                    raise ValueError(f"claim {claim.id}: {wrong}")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return ledger


def read_claim(entry: Mapping[str, Any]) -> Claim:
    if missing := [key for key in ("id", "text", "where", "source", "contrasts") if not entry.get(key)]:
        raise ValueError(f"claim {entry.get('id', '?')}: missing {', '.join(missing)}")
    contrasts = []
    for item in entry["contrasts"]:
        if missing := [key for key in ("metric", "of", "is") if not item.get(key)]:
            raise ValueError(f"claim {entry['id']}: a contrast is missing {', '.join(missing)}")
        bound = item.get("threshold") or item.get("margin") or ""
        sides = product(listed(item["of"]), listed(item.get("than", "")))
        contrasts += [Contrast(item["metric"], of, item["is"], than, bound) for of, than in sides]
    return Claim(entry["id"], entry["text"], entry["where"], entry["source"], contrasts)


def listed(names: str | list[str]) -> list[str]:
    return [names] if isinstance(names, str) else names


def read_reading(item: str | Mapping[str, Any]) -> Reading:
    if isinstance(item, str):
        return Reading((item,))
    if item.get("needs", "") not in NEEDS:
        raise ValueError(f"readings: needs {item['needs']!r}, which is none of {', '.join(NEEDS[1:])}")
    return Reading(tuple(item["metrics"]), item.get("needs", ""), item.get("turned", False))


def read_bounds(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Bound]]:
    """name -> scale or metric -> bound; each is {value, why} or {share, of: [floor, ceiling], why}."""
    bounds: dict[str, dict[str, Bound]] = {}
    for name, places in found.items():
        for place, item in places.items():
            if not item.get("why"):
                raise ValueError(f"{name} of {place}: missing why")
            value, reason = item.get("value"), item["why"]
            if value is None:
                low, high = item["of"]
                value = item["share"] * (high - low)
                reason = f"{100 * item['share']:g} % of {low:g} to {high:g}: {reason}"
            bounds.setdefault(name, {})[place] = Bound(float(value), reason)
    return bounds


def check_contrast(contrast: Contrast, ledger: Ledger) -> str:
    """What is wrong with a contrast, or nothing."""
    direction, bound = contrast.direction, contrast.bound
    if direction not in DIRECTIONS:
        return f"{direction!r} is none of {', '.join(DIRECTIONS)}"
    if (direction in ABSOLUTE) == bool(contrast.than):
        return f"`{direction}` {'takes no' if contrast.than else 'needs a'} `than`"
    if direction in COMPARED:
        return f"`{direction}` takes no margin" if bound else ""
    kind, named = ("threshold", ledger.thresholds) if direction in ABSOLUTE else ("margin", ledger.margins)
    if bound not in named:
        return f"no {kind} {bound!r}" if bound else f"`{direction}` needs a {kind}"
    metrics = {metric for reading in ledger.read_as(contrast.metric) for metric in reading.metrics}
    missing = metrics - set(named[bound]) if kind == "threshold" else set()
    return f"threshold {bound!r} has no value for {', '.join(sorted(missing))}" if missing else ""
