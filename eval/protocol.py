"""What a score means: a protocol for each metric, and what made a file of scores.

Two scores may be compared if their protocols agree. A protocol names model, weights, resizing, background
and text; its id is a digest of all of them. Views, weights and code are hashed besides.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segmentdreamer.records import file_digest, folder_digest

# The files that turn views into scores; their digest is part of every record.
CODE = (
    "views/archive.py", "views/naming.py", "views/pictures.py", "views/ring.py", "scores/clip_score.py",
    "scores/consistency.py", "scores/floaters.py", "scores/ground_truth.py", "scores/image_reward.py",
    "scores/image_reward_weights.py", "scores/inception.py", "scores/janus.py", "scores/pathology.py",
    "scores/scorers.py", "scores/toy_reward.py", "protocol.py",
)  # fmt: skip


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


def code_digest() -> str:
    """SHA-256 over the scoring code."""
    here = Path(__file__).parent
    return folder_digest(here, (here / name for name in CODE))
