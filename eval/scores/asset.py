"""What metrics share: the models of a scale, a prompt table's texts as they read them, and one asset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from segmentdreamer.timing.stopwatch import Stopwatch

from ..views.archive import Views, has_alpha, read_asset
from ..views.ring import FEWEST
from ..views.surface import Surface
from .clip import Clip, embed_texts, fills
from .pathologies.janus import TEMPLATE

if TYPE_CHECKING:
    from .inception import InceptionV3

VIEW_WORDS = ("front", "right side", "back", "left side")
Metrics = dict[str, np.ndarray]  # metric -> a value a view (V,), or (1,) for the whole asset
SPEC = ("class", "color", "second")  # columns of a prompt table that say what a prompt asks for


@dataclass(frozen=True)
class Models:
    """Everything that maps pictures and texts to numbers, loaded once."""

    clip: Clip
    inception: InceptionV3 | None = None
    folders: Mapping[str, Path] = field(default_factory=dict)  # module of a metric -> its weights
    view_words: tuple[str, ...] = VIEW_WORDS
    device: str = "cpu"
    orbit: str = ""  # how views were taken, where that is known
    weights: Mapping[str, str] = field(default_factory=dict)  # model -> SHA-256
    watch: Stopwatch = field(default_factory=Stopwatch)
    texts: dict[tuple[str, ...], np.ndarray] = field(default_factory=dict)  # embeddings, by what was asked

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Unit text embeddings (T, D), computed once for the same texts."""
        key = tuple(texts)
        if key not in self.texts:
            with self.watch.part("text"):
                self.texts[key] = embed_texts(self.clip, key)
        return self.texts[key]


@dataclass(frozen=True)
class PromptTexts:
    """A prompt table's unit text embeddings: of the prompts, and of each under every view word."""

    ids: list[str]
    texts: list[str]
    prompts: np.ndarray  # (T, D)
    views: np.ndarray  # (T, K, D)
    symmetric: list[bool]
    cut: list[bool]  # whether the model's context ends before the view words do
    specs: list[dict[str, str]]  # of each prompt: SPEC's columns, or nothing


def embed_prompts(models: Models, table: pd.DataFrame) -> PromptTexts:
    """Text embeddings of a prompt table (columns id, prompt, symmetric; maybe those of SPEC)."""
    texts, words = table["prompt"].tolist(), models.view_words
    worded = [TEMPLATE.format(prompt=text, view=view) for text in texts for view in words]
    embedded = models.embed([*texts, *worded])
    filled = np.array([fills(models.clip, text) for text in worded]).reshape(len(texts), -1)
    known = {*SPEC} <= {*table}
    specs: list = table[[*SPEC]].fillna("").to_dict("records") if known else [{}] * len(table)
    return PromptTexts(
        table["id"].tolist(), texts, embedded[: len(texts)],
        embedded[len(texts) :].reshape(len(texts), len(words), -1),
        (table["symmetric"] == "yes").tolist(), [bool(row.any()) for row in filled], specs,
    )  # fmt: skip


@dataclass(frozen=True)
class Asset:
    """One asset, decoded and embedded once for all metrics."""

    views: np.ndarray  # (V, H, W, 4) uint8, straight alpha
    images: np.ndarray  # (V, H, W, 3) uint8, over white
    features: Metrics  # feature space -> (V, D)
    prompts: PromptTexts
    own: int  # which of the prompts
    truth: Path | None = None  # folder with views.zip and two_faced.zip of the true scene
    ring: bool = True  # whether the views go once around in even steps
    scores: Metrics = field(default_factory=dict)  # of the metrics before, which need no more than this one
    surface: Surface | None = None  # what lies behind the views, where that is known

    @property
    def text(self) -> str:
        return self.prompts.texts[self.own]

    @property
    def spec(self) -> dict[str, str]:
        return self.prompts.specs[self.own]

    @cached_property
    def true(self) -> Views:
        """The true scene's views; ValueError if they are of another number or size than these."""
        assert self.truth  # asked by metrics that need it
        found = read_asset(self.truth / "views.zip")
        if found.rgba.shape != self.views.shape:
            text = f"views are {self.views.shape}, the truth's in {self.truth} are {found.rgba.shape}"
            raise ValueError(text)
        return found

    @property
    def whole(self) -> bool:
        """Whether the views are a ring that is dense enough for its metrics."""
        return self.ring and len(self.views) >= FEWEST

    def offers(self) -> set[str]:
        """Which of the needs of metrics.yaml this asset meets."""
        known = self.truth is not None
        found = {"alpha": has_alpha(self.views), "ring": self.whole, "truth": known,
                 "depth": bool(self.surface and known and self.true.surface),
                 "spec": bool(self.spec.get("class"))}  # fmt: skip
        return {"weights"} | {name for name, there in found.items() if there}
