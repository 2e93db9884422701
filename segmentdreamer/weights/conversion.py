"""Checkpoints of torch.save as safetensors: read once, tensors only, so that no later program unpickles."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segmentdreamer.records import replacing


def to_safetensors(source: Path, target: Path) -> None:
    """Write the tensors of a .pt or .pth checkpoint to `target`, names and types as they are, atomically.

    A checkpoint is a mapping of names to tensors, or holds one as `state_dict`. Raises ValueError for
    anything else, and for a file that would run code when read.
    """
    import torch
    from safetensors.torch import save_file

    try:
        state: Any = torch.load(source, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"{source} is not a checkpoint of plain tensors: {str(error)[:120]}") from error
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise ValueError(f"{source} is not a mapping of names to tensors")
    with replacing(target) as partial:  # clone: safetensors refuses tensors that share memory
        save_file({name: v.contiguous().clone() for name, v in state.items()}, partial, {"format": "pt"})
