"""A finished run as its folder tells of it: settings, prompts, scorers, and its table made again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from segmentdreamer.recipe.settings import read_yaml
from segmentdreamer.records import read_record, shipped

from ..run import Key, Run, path_of, read_run
from ..scores.scorers import Scorers, load_models, prepare
from ..tables.table1 import tabulate

ASKED = ("methods", "controls", "prompts", "seeds", "scale", "scorer", "reference")  # of table1.json
SETTINGS = ("texts", "clip", "views", "generation")  # of settings.yaml


@dataclass(frozen=True)
class Finished:
    """A run, what its tables say of themselves, and the settings that it was made under."""

    run: Run
    tables: Path
    record: dict[str, Any]
    config: dict[str, Any]

    @property
    def prompts(self) -> pd.DataFrame:
        """The prompt table of the table's rows, as the run kept it."""
        rows = [{"id": name, **self.config["texts"][name]} for name in self.run.prompts]
        return pd.DataFrame(rows, dtype=str).fillna("")

    def scored(self) -> list[Key]:
        """The assets that have scores."""
        scored = self.run.assets[self.run.assets["status"] == "ok"]
        return [(m, p, int(s)) for m, p, s in scored[["method", "prompt", "seed"]].to_numpy()]

    def place(self, room: str, key: Key) -> Path:
        return self.run.results / room / path_of(*key)


def read_finished(results: Path, selection: str = "") -> Finished:
    """A run with tables; FileNotFoundError where they or its settings.yaml lack, ValueError as read_run."""
    tables, kept = results / "tables" / selection, results / "settings.yaml"
    for path in (tables / "table1.json", kept):
        if not path.is_file():
            raise FileNotFoundError(f"{results} is no finished run: it has no {path.relative_to(results)}")
    record, config = read_record(tables / "table1.json"), dict[str, Any]()
    if lacking := [key for key in ASKED if key not in record]:
        raise ValueError(f"{tables / 'table1.json'} is no table's record: it has no {lacking[0]}")
    for key, value in read_yaml(kept).items():
        *sections, last = key.split(".")
        inner = config
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[last] = value
    if lacking := [key for key in SETTINGS if key not in config]:
        raise ValueError(f"{kept} is no run's settings: it has no {lacking[0]}")
    names = (record[key] for key in ("methods", "controls", "prompts", "seeds"))
    return Finished(read_run(results, *names), tables, record, config)


def load_scorers(finished: Finished, device: str) -> Scorers:
    """The run's scorers; ValueError unless they are those that its scores name."""
    config, run = finished.config, finished.run
    generation = read_yaml(shipped(config["generation"]))
    reward, inception = (shipped(config[key]) if config.get(key) else None for key in ("reward", "inception"))
    models = load_models(
        config["clip"]["name"],
        str(shipped(config["clip"]["weights"])),
        reward,
        inception,
        generation.get("prompts", {}).get("views", ["front", "side", "back"]),
        device,
        run.protocols.get("views", ""),
    )
    scorers = prepare(models, finished.prompts)
    if (mine := scorers.protocol.id) != (theirs := run.protocol_id.partition("+")[0]):
        raise ValueError(
            f"{run.results} was scored by protocol {theirs}, here it is {mine}: other "
            "weights or another version of this program than the run's"
        )
    return scorers


def tabulate_again(
    finished: Finished, methods: Mapping[str, str], out: Path, study: Path | None = None
) -> Path:
    """The tables of these methods (name -> title) beside the run's controls, into a folder; its name."""
    record = finished.record
    out.mkdir(parents=True, exist_ok=True)
    prompts, titles = out / "prompts.tsv", out / "titles.yaml"
    finished.prompts.to_csv(prompts, sep="\t", index=False)
    titles.write_text(yaml.safe_dump({name: {"title": title} for name, title in methods.items()}))
    tabulate(
        finished.run.results,
        prompts,
        [*methods],
        record["scale"],
        controls=[*record["controls"]],
        seeds=record["seeds"],
        scorer=record["scorer"],
        reference=record["reference"],
        titles=titles,
        paper=shipped("baselines/paper.yaml"),
        study=study,
        out=out,
    )
    return out
