"""Networks under CUDA graphs: recorded once for each shape of their inputs, then replayed.

A call of Stable Diffusion's UNet is about 800 launches, which for a few rows take the host longer than the
device takes for their work; a replay is one. What is recorded reads and writes the same memory each time: so
inputs are copied in, and results are copied out, for a caller may keep several at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

WARM_UPS = 3  # runs before a recording: what is compiled, chosen or allocated once must not be recorded

Signature = tuple[tuple[tuple[int, ...], torch.dtype], ...]


@dataclass(frozen=True)
class Recording:
    """What a function wrote when it was recorded, and how to make it write there again."""

    output: Tensor
    replay: Callable[[], None]


class Recorder(Protocol):
    """Turns functions without arguments into recordings."""

    def warm_up(self, function: Callable[[], Any]) -> None: ...

    def record(self, function: Callable[[], Tensor]) -> Recording: ...


class CudaRecorder:
    """CUDA graphs over one pool of memory, made on one stream, since the default one cannot be captured.

    What must outlive the replay of another recording has to be held by a tensor while that is made.
    """

    def __init__(self) -> None:
        self._pool, self._stream = torch.cuda.graph_pool_handle(), torch.cuda.Stream()

    def warm_up(self, function: Callable[[], Any]) -> None:
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            for _ in range(WARM_UPS):
                function()
        torch.cuda.current_stream().wait_stream(self._stream)

    def record(self, function: Callable[[], Tensor]) -> Recording:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
            output = function()
        return Recording(output.detach(), graph.replay)


def signature(inputs: tuple[Tensor, ...]) -> Signature:
    """What a recording depends on beside the values: shapes and types."""
    return tuple((tuple(x.shape), x.dtype) for x in inputs)


class Replayed:
    """A function of tensors without gradient, recorded when it meets a shape and replayed from then on.

    rows: at most so many are computed at a time. Functions whose recorder is one share their memory.
    """

    def __init__(self, function: Callable[..., Tensor], recorder: Recorder, rows: int | None = None):
        self.function, self.recorder, self.rows = function, recorder, rows
        self.recordings: dict[Signature, tuple[tuple[Tensor, ...], Recording]] = {}

    def __call__(self, *inputs: Tensor) -> Tensor:
        parts = zip(*(x.split(self.rows or len(x)) for x in inputs), strict=True)
        outputs = [self.run(*part) for part in parts]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def forget(self) -> None:
        self.recordings.clear()

    @torch.no_grad()
    def run(self, *inputs: Tensor) -> Tensor:
        key = signature(inputs)
        if key not in self.recordings:
            own = tuple(torch.empty_like(x, memory_format=torch.contiguous_format).copy_(x) for x in inputs)
            self.recorder.warm_up(lambda: self.function(*own))
            self.recordings[key] = own, self.recorder.record(lambda: self.function(*own))
        own, recording = self.recordings[key]
        for place, x in zip(own, inputs, strict=True):
            place.copy_(x)
        recording.replay()
        return recording.output.clone()


class ReplayedGradient:
    """A function of one tensor and its gradient by it, both recorded; its parameters must be frozen.

    One forward pass is remembered at a time: where another came between, a backward pass repeats its own. The
    recorder must be its alone, or other recordings would write over what that pass left for its gradient.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], recorder: Recorder):
        self.function, self.recorder = function, recorder
        self.passes: dict[Signature, Passes] = {}
        self.newest: object = None  # the forward pass that the recorded memory holds

    def __call__(self, x: Tensor) -> Tensor:
        return _Function.apply(x, self)

    def forget(self) -> None:
        self.passes.clear()
        self.newest = None

    def run(self, x: Tensor, mark: object) -> Tensor:
        """The forward pass, now the newest, under a mark; the result is the recording's own memory."""
        key = signature((x,))
        if key not in self.passes:
            self.passes[key] = Passes(self.function, x, self.recorder)
        self.newest = mark
        return self.passes[key].run(x)

    def pull(self, x: Tensor, gradient: Tensor, mark: object) -> Tensor:
        """The gradient by x of the pass of this mark, which it uses up; the recording's own memory."""
        if self.newest is not mark:
            self.run(x, mark)
        self.newest = None
        return self.passes[signature((x,))].pull(gradient)


class Passes:
    """The recorded forward and backward pass for one shape; no pass of another shape may come between."""

    def __init__(self, function: Callable[[Tensor], Tensor], x: Tensor, recorder: Recorder):
        self.function = function
        self.input = x.detach().clone(memory_format=torch.contiguous_format).requires_grad_(True)
        self.output: Tensor | None = None
        with torch.enable_grad():
            shape = self._forward().detach()
            self.output = None  # its graph holds as much as all else here
            self.gradient = torch.ones_like(shape, memory_format=torch.contiguous_format)
            recorder.warm_up(lambda: (self._forward(), self._backward()))
            self._forwards = recorder.record(self._forward)
            self._backwards = recorder.record(self._backward)
        self.output = None  # the recordings need its graph no more

    def _forward(self) -> Tensor:
        self.output = output = self.function(self.input)
        return output

    def _backward(self) -> Tensor:
        assert self.output is not None
        return torch.autograd.grad(self.output, self.input, self.gradient)[0]

    @torch.no_grad()
    def run(self, x: Tensor) -> Tensor:
        self.input.copy_(x)
        self._forwards.replay()
        return self._forwards.output

    @torch.no_grad()
    def pull(self, gradient: Tensor) -> Tensor:
        self.gradient.copy_(gradient)
        self._backwards.replay()
        return self._backwards.output


class _Function(torch.autograd.Function):
    """What autograd sees of a ReplayedGradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, replayed: ReplayedGradient) -> Tensor:
        ctx.save_for_backward(x)
        ctx.replayed, ctx.mark = replayed, object()
        return replayed.run(x, ctx.mark).clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return ctx.replayed.pull(x, gradient, ctx.mark).clone(), None
