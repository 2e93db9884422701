"""A training step as one CUDA graph: small networks wait for launches on a GPU, and a graph is one launch."""

from __future__ import annotations

from collections.abc import Callable

import torch

Step = Callable[[], object]
WARMUP = 5  # steps before the capture: kernels are chosen and the optimizer gets its state


def record(step: Step, device: str) -> Step:
    """The step in its fastest form: replayed from a CUDA graph on CUDA, itself on a CPU.

    step: reads and writes tensors that stay in place, draws from the default generator, and never waits for
    the device; on CUDA it runs WARMUP times here. Where it cannot be captured, the reason is printed and the
    step itself comes back.
    """
    if device == "cpu":
        return step
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARMUP):
            step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph, stream=stream):
            step()
    except RuntimeError as reason:
        print(f"no CUDA graph: {reason}", flush=True)
        # A capture that failed leaves the default generator in capture mode: give it a state of its own.
        fresh = torch.Generator("cuda").manual_seed(torch.initial_seed())
        torch.cuda.default_generators[torch.cuda.current_device()].graphsafe_set_state(fresh)
        return step
    return graph.replay


def use_fast_kernels() -> None:
    """Let CUDA round matrix products to TF32 and choose convolutions by trial; a CPU is not touched."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
