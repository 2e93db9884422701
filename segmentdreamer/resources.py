"""What comes with the project, found in a clone as in an installed package.

In a clone eval, baselines, prompts and toybox stand beside this package; installed, in it.
"""

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent
ROOT = PACKAGE if (PACKAGE / "eval").is_dir() else PACKAGE.parent


def shipped(path: str | Path) -> Path:
    """A path as it stands or, where nothing is there, that of the file or folder that the project ships."""
    places = [Path(path), PACKAGE / path, PACKAGE.parent / path]
    return next((place for place in places if place.exists()), Path(path))


def load(name: str) -> Any:
    """What `module:name` stands for; installed, `baselines.sds:SDS` lies in segmentdreamer.baselines.sds."""
    module, _, attribute = name.partition(":")
    top = module.partition(".")[0]
    inside = (PACKAGE / top).is_dir() or (find_spec(top) is None and (ROOT / top).is_dir())
    found = importlib.import_module(f"segmentdreamer.{module}" if inside else module)
    return getattr(found, attribute)
