"""What a reference set was made of: the prompts' texts and the models' weights, kept in its features.npz.

Features of other texts under the same ids, or of another scorer, give a distance like any other. So they are
refused where this is known; a set without an origin, made before it was kept, is taken with a note.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..prompt_table import plain

ORIGIN = "record"  # the entry of features.npz: JSON
UNKNOWN = "it does not say of which texts and weights it was made (an older one): it is taken for these"


def read_origin(stored: Mapping[str, np.ndarray], path: Path) -> dict[str, Any]:
    """The record of the open features.npz at `path`, with `texts` and `weights`; empty if it keeps none."""
    try:
        return dict(json.loads(str(stored[ORIGIN]))) if ORIGIN in stored else {}
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is no features.npz of eval.reference: its {ORIGIN} is no JSON") from error


def check_origin(
    origin: Mapping[str, Any], path: Path, texts: Mapping[str, str], weights: Mapping[str, str]
) -> None:
    """ValueError if the set at `path` is known to be made of other texts or by other scorers than these.

    texts: prompt id -> text, weights: model -> SHA-256, of what is compared with it; what either side does
    not know is not compared.
    """
    theirs = origin.get("texts", {})
    for name, text in texts.items():
        if name in theirs and plain(theirs[name]) != plain(text):
            raise ValueError(
                f"{path} was made of other prompts: its {name} is {theirs[name]!r}, here it is {text!r}; "
                "give the table that it was made of, or draw a reference of these"
            )
    for model, digest in weights.items():
        other = origin.get("weights", {}).get(model, digest)
        if other != digest:
            raise ValueError(
                f"{path} was made by another {model} scorer: its weights have SHA-256 {other[:12]}..., these "
                f"{digest[:12]}...; score and draw with the same"
            )


def check_drawn(path: Path, identity: str) -> None:
    """ValueError unless the set at `path` is the one that is planned, where one is."""
    if identity:
        with open_features(path) as stored:
            if read_origin(stored, path).get("identity") != identity:
                raise ValueError(
                    f"{path} is not of the prior, prompts and scorers that are configured now: delete it, "
                    "and the same command draws it"
                )


def open_features(path: Path) -> Any:
    """An open features.npz; ValueError in one line if it is none, FileNotFoundError without the file."""
    try:
        stored = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"no reference features at {path}") from error
    except Exception as error:  # numpy and zipfile raise what they like
        raise ValueError(f"{path} is no features.npz of eval.reference: it cannot be read") from error
    if not isinstance(stored, np.lib.npyio.NpzFile):
        raise ValueError(f"{path} is no features.npz of eval.reference: it holds one array")
    return stored


def read_features_of(stored: Any, key: str, path: Path) -> np.ndarray:
    """An array of an open features.npz; ValueError if it is damaged, or claims more than is there."""
    try:
        member = stored.zip.getinfo(f"{key}.npy")
        with stored.zip.open(member) as stream:
            version = np.lib.format.read_magic(stream)
            read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}[
                version[0]
            ]
            shape, _, kind = read(stream)
        if math.prod(shape) * kind.itemsize > member.file_size:
            raise ValueError(f"it claims to be {shape}")
        return stored[key]
    except Exception as error:  # numpy and zipfile raise what they like
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: {key} cannot be read: {reason[:200]}") from error
