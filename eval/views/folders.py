"""Anyone's folder: which of its folders holds the views of which prompt, and of which seeds.

The layout is FOLDER/PROMPT/[SEED/]rgb_000.png ..., or `views.zip` in their place, or another benchmark's (see
layouts). A prompt's folder bears its id or its text; case, punctuation, Unicode form and what stands between
words do not matter.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .archive import list_pictures
from .layouts import ARCHIVES, numbered, prompt_name, tests_of
from .naming import KINDS, NoViews, choose, hidden

LONGEST = 255  # bytes of a file's name


@dataclass(frozen=True)
class Found:
    """What a folder holds: places by prompt and seed, why others have no views, folders that are left out."""

    places: dict[str, dict[str, Path]]
    missing: dict[str, str] = field(default_factory=dict)
    strays: list[str] = field(default_factory=list)


def find_assets(folder: Path, ids: Sequence[str], texts: Sequence[str]) -> Found:
    """The assets of every prompt.

    Raises FileNotFoundError, with what is there instead, if there are none at all, and ValueError for a
    folder that fits two prompts or two folders that hold one's views.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}" + (" (it is a file)" if folder.is_file() else ""))
    places: dict[str, dict[str, Path]] = {name: {} for name in ids}
    owners: dict[str, str] = {}  # prompt -> its folder
    causes: dict[str, str] = {}
    missing: dict[str, str] = {}
    strays: list[str] = []
    named = {place: owner_of(place, ids, texts) for place in (*subfolders(folder), *archives_in(folder))}
    if not any(named.values()):
        named |= numbered([*named], ids)
    for place, owner in named.items():
        if owner is None:
            strays += [place.name] if place.is_dir() and holds_views(place) else []
            continue
        seeds, empty = assets_of(place)
        strays += unused(place, seeds) if place.is_dir() else []
        if seeds and places[owner]:
            raise ValueError(f"{folder / owners[owner]} and {place} both hold views of prompt {owner}")
        if seeds:
            owners[owner], places[owner] = place.name, seeds
            missing |= {f"{owner}/{seed}": cause for seed, cause in empty.items()}
        else:
            causes[owner] = f"{place.name} {next(iter(empty.values()))}"
    for name, text in zip(ids, texts, strict=True):
        if not places[name]:
            long = len(text.encode()) > LONGEST
            advice = f"the prompt is too long for a folder's name, so name its folder {name}" if long else ""
            missing[name] = ": ".join(filter(None, ("no views", causes.get(name, advice))))
    if not any(places.values()):
        raise FileNotFoundError(
            f"{folder} has no views: expected {ids[0]}/rgb_000.png or {ids[0]}/views.zip"
            + instead(folder, list(causes.values()), strays)
        )
    return Found(places, missing, strays)


def owner_of(place: Path, ids: Sequence[str], texts: Sequence[str]) -> str | None:
    """The prompt that a folder's name means: its id before its text, the exact spelling before others."""
    name = prompt_name(place.name)
    key = plain(name)
    spellings = [(name, ids), (name, texts), (key, [plain(x) for x in ids]), (key, [plain(x) for x in texts])]
    for wanted, known in spellings:
        owners = [i for i, other in zip(ids, known, strict=True) if wanted and other == wanted]
        if len(owners) > 1:
            raise ValueError(f"{place} fits the prompts {', '.join(owners)}: name it by an id")
        if owners:
            return owners[0]
    return None


def plain(name: str) -> str:
    """A name's letters and digits: programs change Unicode form, case, punctuation and spaces."""
    composed = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    return re.sub(r"[\W_]+", "", composed)


def assets_of(place: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """The assets of a prompt's folder by seed, and why others hold none, by seed; "" is the folder itself."""
    if place.is_file():
        return {"0": place}, {}
    try:
        return {"0": asset_in(place)}, {}
    except NoViews as error:
        empty = {"": str(error)}
    found: dict[str, Path] = {}
    for inner in subfolders(place):
        if inner.name.lower() in KINDS:
            continue
        try:
            found[inner.name] = asset_in(inner)
        except NoViews as error:
            if inner.name.isdigit() or str(error) != "holds no PNG":
                empty[inner.name] = str(error)
    if found:
        del empty[""]
    elif len(empty) > 1 and empty[""] == "holds no PNG":
        seed, cause = list(empty.items())[1]
        empty = {"": f"in its folder {seed} {cause}"}
    return found, empty


def asset_in(place: Path) -> Path:
    """The views.zip of a folder, or the folder itself if it holds views; else NoViews with the cause."""
    place = tests_of(place)
    archives = archives_in(place)
    own = [path for path in archives if path.name.lower() == "views.zip"]
    own = own or [path for path in archives if path.name.startswith("predictions")]  # nerfbaselines'
    try:
        choose(list_pictures(place))
    except NoViews as error:
        if own:
            return own[0]
        if archives and str(error) == "holds no PNG":
            raise NoViews(f"holds {archives[0].name}: expected views.zip") from error
        raise
    except ValueError:
        pass  # which pictures are meant is asked when they are read
    if own:
        raise ValueError(f"{place} holds {own[0].name} and pictures of views: remove one")
    return place


def archives_in(place: Path) -> list[Path]:
    """The visible archives in a folder, by name."""
    found = (path for path in place.iterdir() if path.name.lower().endswith(ARCHIVES) and path.is_file())
    return sorted(path for path in found if not hidden(path.name))


def unused(place: Path, seeds: dict[str, Path]) -> list[str]:
    """The folders in a prompt's folder that hold views too, where its own are scored."""
    if not any(path == place or (path.is_file() and path.parent == place) for path in seeds.values()):
        return []
    inner = (path for path in subfolders(place) if path.name.lower() not in KINDS)
    return [f"{place.name}/{path.name}" for path in inner if holds_views(path)]


def holds_views(place: Path) -> bool:
    try:
        return bool(assets_of(place)[0])
    except ValueError:  # more than can be told apart
        return True


def subfolders(place: Path) -> list[Path]:
    """The visible folders in a folder, numbers in their order."""
    folders = [path for path in place.iterdir() if path.is_dir() and not hidden(path.name)]
    return sorted(folders, key=lambda path: (int(path.name) if path.name.isdecimal() else -1, path.name))


def instead(folder: Path, causes: list[str], strays: list[str]) -> str:
    """What a folder without any asset holds, as the end of a message."""
    told = causes[:1]
    try:
        choose(list_pictures(folder))
        told.append(f"its own pictures belong into a folder of their prompt, {folder / 'ID'}")
    except ValueError as error:
        told += [f"it {error}"] if not causes and str(error) != "holds no PNG" else []
    if strays:
        told.append(f"its folders {', '.join(strays[:3])} are neither id nor text of a prompt")
    return "".join(f"; {words}" for words in told)
