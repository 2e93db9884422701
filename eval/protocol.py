"""What a score means: a protocol for each metric, and what made a file of scores.

Two scores may be compared if their protocols agree. A protocol names model, weights, resizing, background
and text; its id is a digest of all of them. Views, weights and code are hashed besides.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from segmentdreamer.records import content_digest, file_digest, folder_digest

from .metrics import columns, measures

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Protocol:
    """How each metric is measured, in words exact enough to tell two protocols apart."""

    metrics: dict[str, str]
    weights: dict[str, str]  # model -> SHA-256

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits over metrics and weights."""
        text = json.dumps([self.metrics, self.weights], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def record(self, views: Path | str, failed: str | None = None) -> dict[str, Any]:
        """What stands beside a file of scores. views: the file that was scored, or its digest."""
        return {
            "status": "failed" if failed else "ok",
            "reason": failed or "",
            "protocol_id": self.id,
            "protocol": self.metrics,
            "weights": self.weights,
            "views_sha256": file_digest(views) if isinstance(views, Path) else views,
            "code_sha256": code_digest(),
        }


@cache
def scoring_files() -> list[Path]:
    """The files that turn views into scores: the loop, each metric's own, and what they import of eval.

    Raises FileNotFoundError for one that metrics.yaml or an import names and that is not there.
    """
    programs = [spec["program"] for spec in columns().values() if "program" in spec]
    modules = ["scores.scorers", *programs, *(measure.path.partition(":")[0] for measure in measures())]
    open_, found = [HERE.joinpath(*name.split(".")).with_suffix(".py") for name in modules], set()
    while open_:
        path = open_.pop()
        if path not in found:
            found.add(path)
            open_ += imported(path)
    return sorted(found)


def imported(path: Path) -> Iterator[Path]:
    """The files that a module imports from this package, wherever in it the import stands.

    ValueError for an import by the package's full name, which is another where it is installed.
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            module = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            names = [module / alias.name for alias in node.names] if module.is_dir() else [module]
            yield from (name.with_suffix(".py") for name in names)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            full = [getattr(node, "module", None) or alias.name for alias in node.names]
            if any(re.match(r"(segmentdreamer\.)?eval(\.|$)", name) for name in full):
                raise ValueError(f"{path}, line {node.lineno}: what lies in eval is imported relatively")


def scorer_digests(
    clip_weights: Path | str, inception: Path | str | None, folders: Mapping[str, Path | str]
) -> dict[str, str]:
    """model -> SHA-256 of its weights, and of what else is read beside them: configurations count too."""
    clip, found = Path(clip_weights), dict[str, str]()
    if clip.suffix:  # else a tag of open_clip
        found["clip"] = file_digest(clip)
        if configurations := sorted(clip.parent.glob("*.json")):
            found["clip_config"] = folder_digest(clip.parent, configurations)
    if inception:
        found["inception"] = file_digest(Path(inception))
    return found | {name: content_digest(Path(folder)) for name, folder in folders.items()}


def code_digest() -> str:
    """SHA-256 over the scoring code."""
    return folder_digest(HERE, scoring_files())
