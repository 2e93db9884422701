"""What an asset is: a digest of everything that its numbers depend on, known without torch before it is made.

The workflow makes it a parameter of its rules, so that what changed is made again and nothing else; it is the
key of checkpoints, and stands in provenance.json.
"""

import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from segmentdreamer.recipe.settings import ConfigError, read_settings
from segmentdreamer.records import ROOT, content_digest, file_digest, run_key, shipped

# The version of the trunk's numbers: raise it with every change of the trunk that moves an asset's numbers by
# more than rounding (tests/segmentdreamer/test_trunk_numbers.py tells), and all assets are made again.
NUMBERS = 1
FROM_FILE = ("points", "mesh", "point-e", "gaussians")  # kinds of start


@dataclass(frozen=True)
class Recipe:
    """All that the assets of a method depend on beside prompt and seed."""

    key: str
    start: str  # the file that they start from, a pattern; empty for a shape
    asks_camera: bool  # whether the prompt's kind chooses cameras

    def identity(self, prompt: str, prompt_id: str, camera: str | None, seed: int) -> str:
        """The identity of one asset; FileNotFoundError where the file that it starts from is not there."""
        kind = (camera or "object") if self.asks_camera else ""
        start = located_digest(self.start, prompt_id, seed)
        return run_key(self.key, prompt, prompt_id, kind, seed, start)


def read_recipe(
    scale: str | Path, name: str, entry: Mapping[str, Any], overrides: Iterable[str], *conditions: Any
) -> Recipe:
    """The recipe of a method under a scale and overrides.

    entry: the method's of baselines/methods.yaml. conditions: kind of device, threads. Raises ConfigError;
    FileNotFoundError where the prior or a file of code is not there.
    """
    data = read_settings(scale, [*entry.get("settings", []), *overrides])
    data.pop("scale", None)
    own, prior = (data.pop("methods", None) or {}).get(name), describe_prior(data.pop("prior", None) or {})
    start, file = describe_start(data.pop("start", None) or {})
    if not isinstance(entry.get("code"), list) or not entry["code"]:
        raise ConfigError(f"methods.yaml: {name} lists no code, the files whose change makes its assets anew")
    code = [file_digest(shipped(file)) for file in entry["code"]]
    asks = (data.get("cameras") or {}).get("preset") == "prompt"
    return Recipe(run_key(NUMBERS, entry.get("class"), own, code, data, start, prior, conditions), file, asks)


def describe_prior(section: Mapping[str, Any]) -> list[Any]:
    """What counts of a section `prior`: its settings, and digests of its files instead of their place."""
    path, files = section.get("path", ""), [section[key] for key in ("like", "lora") if section.get(key)]
    rest = {k: v for k, v in section.items() if k not in ("path", "sha256", "like", "lora")}
    named = path and (not rest.get("class") or shipped(path).exists())  # a class may want no file
    code = [file_digest(source) for source in source_of(rest.get("class", ""))]
    return [rest, content_digest(shipped(path)) if named else "", *code, *map(content_digest, files)]


def source_of(name: str) -> list[Path]:
    """The file that defines what `module:name` names, if there is one."""
    try:
        spec = find_spec(name.partition(":")[0]) if name else None
    except (ImportError, ValueError):  # opening the prior tells
        spec = None
    return [Path(spec.origin)] if spec and spec.has_location and spec.origin else []


def describe_start(section: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """What counts of a section `start`, and the pattern of the file that is read, empty for a shape."""
    rest = {key: value for key, value in section.items() if key != "file"}
    return rest, str(section.get("file", "")) if rest.get("kind") in FROM_FILE else ""


def located_digest(pattern: str, prompt_id: str, seed: int) -> str:
    """SHA-256 of the file that an asset starts from; empty without a pattern."""
    place = pattern.replace("{prompt_id}", prompt_id).replace("{seed}", str(seed))
    return file_digest(Path(place)) if place else ""


@cache
def revision() -> dict[str, Any]:
    """The commit of this project and whether files differ from it; empty outside of a clone."""
    git = ["git", "-C", str(ROOT)]
    try:
        top, commit, changes = (
            subprocess.run([*git, *words], capture_output=True, text=True, check=True).stdout.strip()
            for words in (
                ["rev-parse", "--show-toplevel"],
                ["rev-parse", "HEAD"],
                ["status", "--porcelain", "--untracked-files=no"],
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"commit": commit, "dirty": bool(changes)} if Path(top) == ROOT.resolve() else {}
