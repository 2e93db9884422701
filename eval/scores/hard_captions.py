"""R-precision against captions that differ in one attribute, which CLIP must read to tell apart.

Of a prompt that says no more than its class and colors in the prompt table (a toy of the toybox): the same
caption with another class, another color, another second color, and with hat or roof dropped or added. Of any
other: all prompts of the table, and each with one word for a color, material, number or size changed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..prompt_table import plain
from .asset import SPEC, Asset, Models, PromptTexts
from .clip_score import clip_scores

# The toybox: what each class may wear, and the colors.
WEARS = {"snowman": "hat", "bear": "hat", "duck": "hat", "robot": "hat", "mushroom": "", "house": "roof",
         "car": "roof", "tree": ""}  # fmt: skip
COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
# In any other prompt a word makes way for each other one of its line.
SWAPS = (
    (*COLORS, "black", "brown", "gray"),
    ("wooden", "metal", "glass", "stone", "golden", "silver", "plastic", "marble", "bronze", "leather"),
    ("two", "three", "four", "five", "six", "seven"),
    ("small", "tiny", "large", "huge", "giant"),
)


@dataclass(frozen=True)
class HardPrecision:
    """1 where a view is nearer to its own prompt than to each of its hard captions."""

    models: Models
    prompts: PromptTexts

    @cached_property
    def captions(self) -> list[list[str]]:
        """The wrong captions of every prompt."""
        texts, specs = self.prompts.texts, self.prompts.specs
        table = list(dict.fromkeys([*texts, *(changed for text in texts for changed in swaps(text))]))
        return [hard_captions(text, spec, table) for text, spec in zip(texts, specs, strict=True)]

    @property
    def protocol(self) -> dict[str, str]:
        digest = hashlib.sha256(json.dumps(self.captions).encode()).hexdigest()[:12]
        how = f"own prompt first of it and captions that differ in one attribute ({digest})"
        return {"clip_r_hard": f"{how}; {self.models.clip.how}"}

    def __call__(self, asset: Asset) -> dict[str, np.ndarray]:
        if not (wrong := self.captions[asset.own]):
            return {}
        scores = clip_scores(asset.features["clip"], self.models.embed([asset.text, *wrong]))
        return {"clip_r_hard": (scores[:, 0] > scores[:, 1:].max(1)).astype(float)}


def hard_captions(text: str, spec: Mapping[str, str], table: Sequence[str]) -> list[str]:
    """The captions that stand against a prompt, each once and none of them its own.

    spec: class, color and second of the prompt table, or nothing. table: what stands against other prompts.
    """
    toy = [spec[name] for name in SPEC] if spec.get("class") else []
    known = bool(toy) and plain(caption(*toy)) == plain(text)
    found = {plain(other): other for other in (neighbors(*toy) if known else table)}
    return [other for key, other in found.items() if key != plain(text)]


def caption(kind: str, color: str, second: str) -> str:
    """The toybox's sentence, e.g. `a red bear with a blue hat`."""
    worn = f" with {article(second)} {second} {WEARS.get(kind, '')}" if second else ""
    return f"{article(color)} {color} {kind}{worn}"


def neighbors(kind: str, color: str, second: str) -> Iterator[str]:
    """The captions of all toys that differ in one attribute; no toy wears its own color."""
    for other in WEARS:
        if WEARS[other] or not second:
            yield caption(other, color, second)
    for other in COLORS:
        if other != second:
            yield caption(kind, other, second)
        if other != color and WEARS[kind]:
            yield caption(kind, color, other)
    yield caption(kind, color, "")


def swaps(text: str) -> Iterator[str]:
    """A prompt with one word of the list made another of its line, the article before it in agreement."""
    for line in SWAPS:
        for found in re.finditer(rf"\b(?:(an?)(\s+))?({'|'.join(line)})\b", text, re.IGNORECASE):
            for other in line:
                if other != found[3].lower():
                    start = f"{article(other, found[1])}{found[2]}" if found[1] else ""
                    yield text[: found.start()] + start + other + text[found.end() :]


def article(word: str, like: str = "a") -> str:
    """The article of a word, with a capital where the one that it replaces has one."""
    right = "an" if word[:1] in "aeiou" else "a"
    return right.capitalize() if like[0].isupper() else right
