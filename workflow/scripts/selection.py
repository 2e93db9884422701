"""Which run this is: what the config files say, what was asked beside them, what a folder was made with.

Tables of what the config files say stand in RESULTS/tables. What the command line changes (methods, seeds, a
study; prompts and seeds of the ablations) is another selection: its tables have their own folder there.
Every other setting decides what assets and scores are, so a folder of results keeps those it was made with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from snakemake.utils import update_config

from segmentdreamer.records import write_text

RECORD, ASKED = "settings.yaml", "selection.yaml"  # in the folder of results
# What a folder may be asked with at another time: it selects assets, or says where and how jobs run.
FREE = {"results", "method", "methods", "seeds", "study", "ablations", "device", "gpu_share",
        "assets_per_job", "scores_per_job", "resources", "published"}  # fmt: skip
LONGEST = 40  # characters of a list in a name
Settings = dict[str, Any]


def stated(contents: Iterable[Mapping[str, Any]]) -> Settings:
    """What the config files say, up to the last that names the folder of results.

    contents: of the files, in the order in which they are laid over one another. A later file without
    `results` selects from that folder, as the command line does.
    """
    merged: Settings = {}
    owner: Settings = {}
    for content in contents:
        update_config(merged, content)
        owner = deepcopy(merged) if "results" in content else owner
    return owner or merged


def selections(config: Mapping[str, Any], base: Mapping[str, Any]) -> tuple[str, str, str]:
    """Names of what `config` selects for Table 1, for the ablations and for the claims, which see both.

    Empty for what `base` (see stated) selects.
    """
    table = name_differences(config, base, ("methods", "seeds", "study"))
    ablations = name_differences(
        config["ablations"], base.get("ablations", {}), ("prompts", "seeds", "spaces")
    )
    ablations = ablations and f"ablations_{ablations}"
    return table, ablations, "-".join(filter(None, (table, ablations)))


def name_differences(asked: Mapping[str, Any], usual: Mapping[str, Any], keys: Iterable[str]) -> str:
    """What differs of these settings, as `sctd-3seeds`, `p01+p02` or `study_mine_0a1b2c`."""
    parts = []
    for key in keys:
        value = asked.get(key, "")
        if value == usual.get(key, ""):
            continue
        if isinstance(value, list):
            text = "+".join(value)
            parts.append(text if len(text) <= LONGEST else f"{len(value)}{key}_{short(text)}")
        elif isinstance(value, int):
            parts.append(f"{value}seed" + "s" * (value > 1))
        else:
            parts.append(f"{key}_{of_file(value)}" if value else f"no_{key}")
    return "-".join(parts)


def folders(results: str, name: str) -> tuple[str, str, str, int]:
    """Where tables, plots and logs of a selection stand, and by how much their files lie below `results`."""
    tables, plots, logs = (f"{results}/{kind}/{name}".rstrip("/") for kind in ("tables", "plots", "logs"))
    return tables, plots, logs, 2 + bool(name)


def of_file(path: str) -> str:
    """A file's name without its ending, and a digest of its path: two folders may have files of one name."""
    letters = (c if c.isascii() and (c.isalnum() or c in "._") else "_" for c in Path(path).stem)
    return f"{''.join(letters)}_{short(path)}"


def short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def settings_of(config: Mapping[str, Any], prompts: Iterable[Mapping[str, Any]]) -> Settings:
    """All that decides what lies in the folder of results: settings as section.key, prompts as id.column."""
    fixed = {key: value for key, value in config.items() if key not in FREE}
    rows = {row["id"]: {key: value for key, value in row.items() if key != "id"} for row in prompts}
    return dict(flatten({**fixed, "texts": rows}))


def flatten(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def check_folder(results: str, settings: Settings) -> None:
    """ValueError in one line if the folder was made with other settings, as far as it says."""
    record = Path(results) / RECORD
    kept = yaml.safe_load(record.read_text("utf-8")) if record.is_file() else {}
    differ = [key for key in settings if key in kept and kept[key] != settings[key]]
    if differ:
        shown = "; ".join(f"{key} {kept[key]!r}, not {settings[key]!r}" for key in differ[:3])
        more = f"; and {len(differ) - 3} more" if len(differ) > 3 else ""
        raise ValueError(
            f"{results} was made with {shown}{more}. Give this run a folder of its own "
            f"(--config results=FOLDER), or delete {record} to make anew what depends on it"
        )


def keep_settings(results: str, settings: Settings) -> None:
    """Write down what the folder is made with; prompts that it has had before stay."""
    record = Path(results) / RECORD
    kept = yaml.safe_load(record.read_text("utf-8")) if record.is_file() else {}
    write_text(record, yaml.safe_dump({**kept, **settings}, sort_keys=False, allow_unicode=True))


def keep_selection(results: str, config: Mapping[str, Any], prompts: list[str]) -> None:
    """Write down which assets are asked for, so that a report can say what is missing."""
    asked = {"methods": config["methods"], "seeds": config["seeds"], "prompts": prompts}
    write_text(Path(results) / ASKED, yaml.safe_dump(asked, sort_keys=False))
