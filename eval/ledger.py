"""The file of claims and its rule: what decides a claim, and when it is decided."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SUPPORTED, CONTRADICTED = "supported", "contradicted"
UNRESOLVED, UNMEASURED = "unresolved", "not measured"
DIRECTIONS = ("higher", "lower", "same")


@dataclass(frozen=True)
class Contrast:
    """`metric` of `of` is higher, lower or the same (up to `margin`) than that of `than`."""

    metric: str  # a name of metrics.yaml or a key of the file's `metrics`
    of: str
    direction: str
    than: str
    margin: str = ""  # a key of the file's `margins`


@dataclass(frozen=True)
class Claim:
    id: str
    text: str
    where: str
    source: str
    contrasts: list[Contrast]


@dataclass(frozen=True)
class Ledger:
    """The file of claims. metrics: alias -> metrics by preference; margins: name -> scale -> margin."""

    claims: list[Claim]
    metrics: dict[str, list[str]]
    margins: dict[str, dict[str, float]]


def read_ledger(path: Path) -> Ledger:
    """The file of claims, checked; ValueError in one line that names the claim."""
    content = yaml.safe_load(path.read_text())
    margins = content.get("margins", {})
    claims = []
    for entry in content["claims"]:
        if missing := [key for key in ("id", "text", "where", "source", "contrasts") if not entry.get(key)]:
            raise ValueError(f"{path}: claim {entry.get('id', '?')}: missing {', '.join(missing)}")
        found = [contrast for item in entry["contrasts"] for contrast in read_contrasts(item)]
        for contrast in found:
            wrong = check_contrast(contrast, margins)
            if wrong:
                raise ValueError(f"{path}: claim {entry['id']}: {wrong}")
        claims.append(Claim(entry["id"], entry["text"], entry["where"], entry["source"], found))
    repeated = {claim.id for claim in claims if [c.id for c in claims].count(claim.id) > 1}
    if repeated:
        raise ValueError(f"{path}: claim {min(repeated)} stands twice")
    return Ledger(claims, content.get("metrics", {}), margins)


def read_contrasts(item: dict[str, Any]) -> list[Contrast]:
    return [
        Contrast(item["metric"], item["of"], item["is"], name, item.get("margin", ""))
        for name in item["than"]
    ]


def check_contrast(contrast: Contrast, margins: dict[str, dict[str, float]]) -> str:
    """What is wrong with a contrast, or nothing."""
    if contrast.direction not in DIRECTIONS:
        return f"{contrast.direction!r} is none of {', '.join(DIRECTIONS)}"
    if contrast.margin and contrast.margin not in margins:
        return f"no margin {contrast.margin!r}"
    if contrast.direction == "same" and not contrast.margin:
        return "`same` needs a margin"
    return ""


def judge(low: float, high: float, direction: str, margin: float = 0.0) -> str:
    """The verdict of one interval of (of - than). NaN intervals are unresolved.

    higher: supported above -margin, contradicted below it; lower: mirrored; same: inside or outside +-margin.
    """
    if direction == "lower":
        return judge(-high, -low, "higher", margin)
    if direction == "higher":
        return SUPPORTED if low > -margin else CONTRADICTED if high < -margin else UNRESOLVED
    inside, outside = -margin < low and high < margin, low > margin or high < -margin
    return SUPPORTED if inside else CONTRADICTED if outside else UNRESOLVED


def combine(verdicts: list[str]) -> str:
    """The verdict of a claim whose contrasts must all hold."""
    if all(verdict == UNMEASURED for verdict in verdicts):
        return UNMEASURED
    if CONTRADICTED in verdicts:
        return CONTRADICTED
    return SUPPORTED if all(verdict == SUPPORTED for verdict in verdicts) else UNRESOLVED
