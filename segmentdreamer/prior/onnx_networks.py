"""The networks of a pipeline folder on a CPU: ONNX Runtime where no gradient passes, TorchScript else.

ONNX Runtime takes about half of eager PyTorch's time for the UNet, and a process that finds the
exported files loads neither diffusers nor transformers, which would cost it several seconds. The
export happens once and is cached under the SHA-256 of the folder; results equal PyTorch's within 1e-5. What
is damaged there is exported anew.
"""

import json
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segmentdreamer.prior.folder import read_latent_shape
from segmentdreamer.records import cache_folder, file_digest, folder_digest, write_json

FORMAT = 2  # of the cached files; raise it when they change
OPSET = 18
ABANDONED = 86_400  # seconds after which an export that did not end is that of a killed process


class ExportedNetworks:
    """The five names of `networks.Networks` over exported files, on `threads` CPU threads."""

    def __init__(self, folder: Path, threads: int = 1):
        self.path = exported(folder)
        self.threads = threads
        info = json.loads((self.path / "info.json").read_text("utf-8"))
        self.reduction, self.scaling_factor = info["reduction"], info["scaling_factor"]
        self.unet = self._session("unet.onnx")

    def _session(self, name: str) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 3
        path = str(self.path / name)
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def predict(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        feed = {"x": x.numpy(), "t": t.numpy(), "cond": cond.contiguous().numpy()}
        return torch.from_numpy(self.unet.run(None, feed)[0])

    @cached_property
    def moments(self) -> Callable[[Tensor], Tensor]:
        return torch.jit.load(self.path / "encoder.pt")

    @cached_property
    def decoder(self) -> Any:
        return self._session("decoder.onnx")

    def decode(self, latents: Tensor) -> Tensor:
        return torch.from_numpy(self.decoder.run(None, {"z": latents.numpy()})[0])

    def embed(self, texts: Sequence[str]) -> Tensor:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self.path / "tokenizer.json"))
        ids = torch.tensor([encoding.ids for encoding in tokenizer.encode_batch(list(texts))])
        return torch.from_numpy(self._session("text.onnx").run(None, {"ids": ids.numpy()})[0])


def exported(folder: Path) -> Path:
    """The cache folder of this pipeline's exported files, made now if it is not there yet."""
    key = folder_digest(folder)[:16]
    path = cache_folder() / f"{key}-torch{torch.__version__.split('+')[0]}-{FORMAT}"
    if path.exists() and not whole(path):
        print(f"the exported networks in {path} are damaged: exporting anew", file=sys.stderr)
        shutil.rmtree(path, ignore_errors=True)
    if not path.exists():
        for left in path.parent.glob("*.part"):
            if time.time() - left.stat().st_mtime > ABANDONED:
                shutil.rmtree(left, ignore_errors=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}.part")
        partial.mkdir(parents=True, exist_ok=True)
        export(folder, partial)
        try:
            partial.replace(path)
        except OSError:  # another process was faster
            shutil.rmtree(partial)
    return path


def whole(path: Path) -> bool:
    """Whether all files of an export are there with the bytes that were written."""
    try:
        files = json.loads((path / "info.json").read_text("utf-8"))["sha256"]
        return all(file_digest(path / name) == digest for name, digest in files.items())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def export(folder: Path, out: Path) -> None:
    """Write unet.onnx, encoder.pt, decoder.onnx, text.onnx, tokenizer.json and info.json."""
    from segmentdreamer.prior.torch_networks import load_folder, load_text

    networks = load_folder(folder, "cpu", torch.float32)
    channels, side, _ = read_latent_shape(folder)
    z = torch.randn(2, channels, side, side)
    image = torch.randn(2, 3, side * networks.reduction, side * networks.reduction)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's remarks on shapes that are constant here
        cond = torch.randn(2, 8, networks.unet.config["cross_attention_dim"])
        write_onnx(
            networks.predict,
            (z, torch.full((2,), 500), cond),
            ("x", "t", "cond"),
            out / "unet.onnx",
            {"cond": {0: "b", 1: "l"}},
        )
        write_onnx(networks.decode, (z,), ("z",), out / "decoder.onnx")
        torch.jit.trace(_Function(networks.moments), image).save(str(out / "encoder.pt"))
        tokenizer, encoder = load_text(folder)
        ids = tokenizer(["a", "b"], padding="max_length", return_tensors="pt").input_ids
        write_onnx(lambda i: encoder(i)[0], (ids,), ("ids",), out / "text.onnx")
    save_tokenizer(tokenizer, out / "tokenizer.json")
    info: dict[str, Any] = {name: getattr(networks, name) for name in ("reduction", "scaling_factor")}
    write_json(out / "info.json", info | {"sha256": {path.name: file_digest(path) for path in out.iterdir()}})


class _Function(nn.Module):
    """A function as a module, as the tracers want it."""

    def __init__(self, function: Any):
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


def write_onnx(
    function: Any, inputs: tuple[Tensor, ...], names: tuple[str, ...], path: Path, axes: Any = None
) -> None:
    """Export a function of tensors with a free batch size (first axis)."""
    free = {name: {0: "b"} for name in (*names, "out")} | (axes or {})
    torch.onnx.export(
        _Function(function), inputs, str(path), dynamo=False, opset_version=OPSET,
        input_names=list(names), output_names=["out"], dynamic_axes=free,
    )  # fmt: skip


def save_tokenizer(tokenizer: Any, path: Path) -> None:
    """The fast tokenizer with padding and truncation to the model's length built in."""
    backend = tokenizer.backend_tokenizer
    length = tokenizer.model_max_length
    backend.enable_truncation(length)
    backend.enable_padding(length=length, pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token)
    backend.save(str(path))
