"""Under which guidance assets were made: read from their own records, never from a configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from segmentdreamer.records import read_record

from .tables.formats import NOTHING

COLUMNS = ("guidance", "guidance_omega", "guidance_brightness", "guidance_negative")
NOTE = (
    "Guidance: as the assets' records tell, CFG (classifier-free) or Perp-Neg; its scale omega, first → last "
    "where it changes over the run; BEG where brightness equalization was on; no negative: the negative "
    "prompt was empty, others' was not"
)


@dataclass(frozen=True)
class Guidance:
    """What a method was steered by, as text; all empty where no record tells."""

    kind: str = ""  # CFG or Perp-Neg
    omega: str = ""  # 7.5, or 40 → 20; empty for a method without a scale
    brightness: str = ""  # BEG, or empty
    negative: str = ""  # the negative prompt

    def columns(self) -> dict[str, str]:
        """As the columns of a CSV file."""
        return dict(zip(COLUMNS, astuple(self), strict=True))


def from_columns(row: Mapping[Any, Any]) -> Guidance:
    return Guidance(*(str(row[name]) for name in COLUMNS))


def of_record(path: Path) -> Guidance:
    """The guidance of one provenance.json; unknown where the file does not tell, as a foreign method's."""
    record = read_record(path)
    config, own = record.get("config", {}), record.get("hyper_parameters", {})
    if "prompts" not in config:
        return Guidance()
    ends = [own.get("omega"), own.get("omega_end")]
    return Guidance(
        "Perp-Neg" if config["prompts"].get("perp_neg") else "CFG",
        " → ".join(f"{end:g}" for end in dict.fromkeys(ends) if end is not None),
        "BEG" if config.get("brightness", {}).get("enabled") else "",
        config["prompts"].get("negative", ""),
    )


def read_guidance(folders: Iterable[Path]) -> Guidance:
    """The one guidance of all these assets; unknown without records.

    Raises ValueError that names two records if they differ: one row of a table has one setting.
    """
    paths = [path for folder in folders if (path := folder / "provenance.json").exists()]
    found: dict[Guidance, Path] = {}
    for path in paths:
        found.setdefault(of_record(path), path)
    found.pop(Guidance(), None)
    if len(found) > 1:
        texts = [f"{path} has {tell([g], [g])}, negative prompt {g.negative!r}" for g, path in found.items()]
        also = "make the assets of one of them again"
        raise ValueError(f"two settings in one table: {texts[0]}; {texts[1]}; {also}")
    return next(iter(found), Guidance())


def tell(group: Iterable[Guidance], among: Iterable[Guidance]) -> str:
    """`Perp-Neg 7.5, BEG`: what one asset's or several assets' guidance was, in one text; a dash if unknown.

    Where the group does not agree, both ends of omega and all that it has of the rest. `among`: the guidance
    of all rows of a table; an empty negative prompt is told if not all are empty.
    """
    known = [guidance for guidance in group if guidance.kind]
    if not known:
        return NOTHING
    scales = sorted({g.omega for g in known if g.omega}, key=lambda omega: float(omega.split()[0]))
    words = [join(g.kind for g in known), " to ".join(dict.fromkeys([*scales[:1], *scales[-1:]]))]
    parts = [" ".join(word for word in words if word)]
    if any(g.brightness for g in known):
        parts.append(join(g.brightness or "no BEG" for g in known))
    if any(g.negative for g in among) and not all(g.negative for g in known):
        parts.append(join("negative" if g.negative else "no negative" for g in known))
    return ", ".join(parts)


def join(words: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(words))


def tell_each(found: Mapping[str, Guidance]) -> dict[str, str]:
    """The text of every row of a table."""
    return {name: tell([guidance], found.values()) for name, guidance in found.items()}
