"""What a run has so far: its assets with scores, costs and records, and what it was asked for and lacks."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segmentdreamer.recipe.settings import read_yaml
from segmentdreamer.records import read_record

from ..metrics import CONTROL_TITLES, control_kind, control_title, primary_method
from ..plots.style import registered
from ..run import path_of, read_asset
from ..variants import method_of
from ..views.archive import read_failure

SHOWN, STUDIED = ("truth", "start"), 3  # controls, and prompts of ablations, in a small site
SETTINGS, SELECTION = "settings.yaml", "selection.yaml"  # of the folder of results
NO_SCORES = pd.DataFrame(columns=["view", "metric", "value"])


@dataclass(frozen=True)
class Asset:
    """One asset whose views are rendered. method: a method's, variant's or control's name."""

    results: Path
    method: str
    prompt: str
    seed: int
    failed: str = ""  # why there are no views

    @property
    def path(self) -> str:
        return path_of(self.method, self.prompt, self.seed)

    @property
    def slug(self) -> str:
        """A name for its files; a variant's long one is cut and told apart by a checksum."""
        plain = re.sub(r"[^A-Za-z0-9_.]+", "-", self.path)
        return plain if "~" not in self.path else f"{plain[:60]}-{zlib.crc32(self.path.encode()):08x}"

    def file(self, room: str, name: str) -> Path:
        return self.results / room / self.path / name

    def record(self, room: str, name: str) -> dict[str, Any]:
        """A JSON file of the asset; empty if it has none."""
        path = self.file(room, name)
        return read_record(path)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """view, metric, value, costs among them (view 0); empty before it is scored."""
        if not self.file("scores", "scores.csv").exists():
            return NO_SCORES
        control = control_kind(self.method) in CONTROL_TITLES
        return read_asset(self.results, self.method, self.prompt, self.seed, cost=not control)

    @cached_property
    def values(self) -> dict[str, float]:
        """Mean over the views of each metric."""
        means = self.scores.groupby("metric")["value"].mean().dropna()
        return {str(metric): float(value) for metric, value in means.items()}


@dataclass(frozen=True)
class Content:
    """A run as far as it is finished. titles: of methods, then controls, in the order of the table."""

    results: Path
    titles: dict[str, str]
    methods: list[str]
    prompts: dict[str, dict[str, str]]  # id -> {text, category}
    assets: list[Asset]
    missing: list[str]  # METHOD/PROMPT/SEED that were asked for and have no views
    table: dict[str, Any] = field(default_factory=dict)  # table1.json, if it is made
    settings: dict[str, Any] = field(default_factory=dict)
    selection: str = ""  # folder of tables and plots

    @property
    def tables(self) -> Path:
        return self.results / "tables" / self.selection

    @cached_property
    def claims(self) -> list[dict[str, Any]]:
        """The ledger, a claim an entry; empty before it is decided."""
        path = self.tables / "claims.json"
        return read_record(path).get("claims", [])

    @property
    def main(self) -> list[Asset]:
        """The assets of methods and controls, variants left out."""
        return [asset for asset in self.assets if asset.method in self.titles]

    def small(self) -> Content:
        """What a small site shows, of one seed: methods, the controls of SHOWN, variants on a few prompts."""
        titles = {name: title for name, title in self.titles.items()
                  if name in self.methods or control_kind(name) in SHOWN}  # fmt: skip
        variants = [asset for asset in self.assets if asset.method not in self.titles]
        counts = Counter(asset.prompt for asset in variants)
        prompts = [prompt for prompt, count in counts.items() if count == max(counts.values())]
        picked = {prompts[round(i)] for i in np.linspace(0, len(prompts) - 1, STUDIED)} if prompts else set()
        seed = min((asset.seed for asset in variants), default=0)
        few = [asset for asset in variants if asset.prompt in picked and asset.seed == seed]
        first = min((asset.seed for asset in self.main), default=0)
        main = [a for a in self.main if a.method in titles and a.seed == first]
        return replace(self, titles=titles, assets=main + few)

    def title(self, name: str) -> str:
        return self.titles.get(name) or self.titles.get(method_of(name), name)


def read_content(results: Path, selection: str = "") -> Content:
    """What lies in the folder of a run; FileNotFoundError in one line if it is none.

    selection: that of the tables; its methods alone are shown.
    """
    settings, asked = (read_kept(results / name) for name in (SETTINGS, SELECTION))
    found = find_assets(results)
    if not found and not settings:
        raise FileNotFoundError(f"no run at {results}: it has neither views/ nor {SETTINGS}")
    path = results / "tables" / selection / "table1.json"
    table = read_record(path)
    if selection:
        asked = table
        found = [a for a in found if a.method in {*table.get("methods", ()), *table.get("controls", ())}]
    plain = dict.fromkeys(a.method for a in found if "~" not in a.method)
    controls = [name for name in plain if control_kind(name) in CONTROL_TITLES]
    controls.sort(key=lambda name: [*CONTROL_TITLES].index(control_kind(name)))
    order = [*asked.get("methods", ()), *table.get("methods", ()), *registered(), *plain]
    methods = [m for m in dict.fromkeys(order) if m in {*plain, *asked.get("methods", ())} - {*controls}]
    titles = {m: table.get("methods", {}).get(m) or registered().get(m, {}).get("title", m) for m in methods}
    primary = titles[primary_method(methods)] if methods else ""
    titles |= {name: control_title(name, primary) for name in controls}
    prompts = read_prompts(settings, found)
    rank = {key: i for i, key in enumerate([*titles, *prompts])}
    found.sort(key=lambda a: (rank.get(a.prompt, 0), a.seed, rank.get(a.method, len(rank)), a.method))
    here = {asset.path for asset in found}
    expected = [
        path_of(m, p, s)
        for p in asked.get("prompts", prompts)
        for m in methods
        for s in range(asked.get("seeds", 1))
    ]
    missing = [name for name in expected if name not in here]
    return Content(results, titles, methods, prompts, found, missing, table, settings, selection)


def read_kept(path: Path) -> dict[str, Any]:
    return read_yaml(path) if path.exists() else {}


def find_assets(results: Path) -> list[Asset]:
    """All assets with views, of variants too."""
    found = []
    for archive in sorted((results / "views").rglob("views.zip")):
        *method, prompt, seed = archive.parent.relative_to(results / "views").parts
        if method and seed.isdigit():
            asset = Asset(results, "/".join(method), prompt, int(seed))
            found.append(replace(asset, failed=why_failed(asset, archive)))
    return found


def why_failed(asset: Asset, archive: Path) -> str:
    """Why an asset has no views, or none that can be scored; empty for any other."""
    try:
        told = read_failure(archive)
    except (ValueError, OSError) as error:
        told = str(error)
    return told or asset.record("scores", "protocol.json").get("reason") or ""


def read_prompts(settings: dict[str, Any], assets: list[Asset]) -> dict[str, dict[str, str]]:
    """id -> text and category of every prompt: of the run's settings, else of the assets' records."""
    rows: dict[str, dict[str, str]] = {}
    for key, value in settings.items():
        if key.startswith("texts."):
            _, name, column = key.split(".", 2)
            rows.setdefault(name, {})[column] = str(value)
    for asset in assets:
        if asset.prompt not in rows:
            text = asset.record("scores", "protocol.json").get("prompt", "")
            rows[asset.prompt] = {
                "prompt": text or asset.record("assets", "provenance.json").get("prompt", "")
            }
    kind = next((k for k in ("category", "class", "camera") if any(row.get(k) for row in rows.values())), "")
    return {
        name: {"text": row.get("prompt") or name, "category": row.get(kind, "")} for name, row in rows.items()
    }
