"""Which files of a folder or an archive are the views, and in which order: decided by their names alone.

Views are PNGs that differ by a number: rgb_000.png, rgb_001.png, ... (the name of GPTEval3D), 000.png, ...
(the workflow's), or one other series. Beside them may lie alpha_000.png, ... and pictures of other kinds.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

from .layouts import companion, icosphere

ALPHA = "alpha"
COLORS = {"rgb", "rgba", "color"}
MASKS = {"mask", "masks", "opacity", "acc"}  # which may mean alpha
OTHERS = {"normal", "normals", "depth", "depths", "disparity", "albedo"}
KINDS = COLORS | OTHERS | MASKS | {ALPHA}
PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".exr", ".avif", ".heic"}

LOSSY = {".jpg", ".jpeg", ".webp", ".avif", ".heic"}
LOSS = ", as the loss of JPEG and its kind alone moves FID by points"

Series = tuple[str, str]  # folder, and the name with # for its number


@dataclass(frozen=True)
class Names:
    """The views by number, ascending, their alphas by number, and pictures that may be meant for either."""

    views: dict[int, str]
    alphas: dict[int, str]
    unread: list[str]
    scattered: bool = False  # over a sphere, not around a ring


class NoViews(ValueError):
    """There are no views; the message says what is there instead."""


def choose(names: Iterable[str]) -> Names:
    """Tell the views among the names of files, with / between folders; hidden ones do not count.

    rgb_*.png come before bare numbers, these before one series of another name. Raises ValueError in one
    line, without saying where: NoViews, or two folders or series of them, or two of one number.
    """
    seen = [name for name in names if not hidden(name) and not companion(name)]
    if views := icosphere([name for name in seen if suffix(name) in PICTURES]):
        return Names(views, {}, [], scattered=True)
    groups: dict[Series, list[str]] = defaultdict(list)
    for name in seen:
        if suffix(name) == ".png":
            groups[series(name)].append(name)
    kinds = {key: words(key) for key in groups}
    alphas = [key for key in groups if "#" in key[1] and ALPHA in kinds[key]]
    shown = [key for key in groups if "#" in key[1] and not kinds[key] & (KINDS - COLORS)]
    foreign = sum(suffix(name) in PICTURES - {".png"} for name in seen)
    if not shown or foreign > max(len(groups[key]) for key in shown):
        raise NoViews(why_none(seen))
    refuse_several("folders", {folder for folder, _ in shown})
    # The color of views before bare numbers, these before what bears another name.
    ranks = {key: 0 if kinds[key] & COLORS else 2 if kinds[key] else 1 for key in shown}
    chosen = [key for key in shown if ranks[key] == min(ranks.values())]
    refuse_several("series", {min(groups[key]) for key in chosen})
    if len(alphas) > 1:
        refuse_several("series of alphas", {min(groups[key]) for key in alphas})
    masks = [name for name in seen if suffix(name) in PICTURES and words(series(name)) & (MASKS | {ALPHA})]
    read = {name for key in alphas for name in groups[key]}
    unread = [name for key in shown if key not in chosen for name in groups[key]]
    unread += [name for name in masks if name not in read]
    return Names(number(groups[chosen[0]]), number([name for key in alphas for name in groups[key]]), unread)


def hidden(name: str) -> bool:
    """Whether a file is a system's own: .DS_Store, ._rgb_000.png, __MACOSX/..."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def series(name: str) -> Series:
    """A picture's folder and its name with # for the last number in it: all views of one asset share both."""
    path = PurePosixPath(name)
    return str(path.parent), re.sub(r"\d+(?=\D*$)", "#", path.stem.lower())


def words(key: Series) -> set[str]:
    """What a series' name says of its kind; its folder's too where that is a kind, as in normal/000.png."""
    folder, stem = PurePosixPath(key[0]).name.lower(), key[1]
    return set(re.findall(r"[a-z]+", stem)) | ({folder} & KINDS)


def number(names: list[str]) -> dict[int, str]:
    """Names by their last number, ascending; ValueError if two have the same."""
    found: dict[int, str] = {}
    for name in sorted(names):
        n = int(re.findall(r"\d+", PurePosixPath(name).stem)[-1])
        if n in found:
            raise ValueError(f"{found[n]} and {name} are both number {n}")
        found[n] = name
    return dict(sorted(found.items()))


def gap(numbers: Sequence[int]) -> str:
    """What an ascending sequence lacks, as words; empty if it is even and begins with 0, 1 or its step."""
    steps = [b - a for a, b in pairwise(numbers)]
    if not steps or max(steps) - min(steps) <= (min(steps) > 1):  # azimuths in whole degrees differ by one
        first, step = numbers[0], min(steps, default=1)
        return f"begins with number {first}" if first > step else ""
    step = min(steps)
    lost = (numbers[-1] - numbers[0]) // step + 1 - len(numbers)
    first = next(a + step for a, b in pairwise(numbers) if b - a > step)
    return f"lacks number {first}" + (f" and {lost - 1} more" if lost > 1 else "")


def why_none(names: list[str]) -> str:
    """What stands in place of views, as the cause."""
    kinds = Counter(suffix(name) for name in names if suffix(name) in PICTURES)
    foreign = {kind: count for kind, count in kinds.items() if kind != ".png"}
    if foreign:
        told = ", ".join(f"{count} {kind} files" for kind, count in sorted(foreign.items()))
        return f"holds {told}: scores need PNG" + (LOSS if LOSSY & set(foreign) else "")
    if kinds:
        first = min(name for name in names if suffix(name) == ".png")
        return f"holds {kinds['.png']} PNG, such as {first}, but no views: expected rgb_000.png, ..."
    return "holds no PNG"


def refuse_several(what: str, found: set[str]) -> None:
    if len(found) > 1:
        raise ValueError(f"has views in {len(found)} {what}, and one is expected: {', '.join(sorted(found))}")
