"""CUDA graphs as a `Recorder`."""

from collections.abc import Callable

import torch

from tuner.training.lanes.capture import Results


def has_graphs(device: torch.device) -> bool:
    """Whether steps on ``device`` can be recorded."""
    return device.type == "cuda"


class CudaGraphs:
    """Records steps as CUDA graphs of one device, which share a pool of memory.

    They may share it, as only one is replayed at a time and nothing in the pool has to last from one replay to the
    next: weights and state lie outside.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch does not type it
        self._pool = torch.cuda.graph_pool_handle()

    def warm_up(self, step: Callable[[], Results]) -> Results:
        current = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            results = step()
        current.wait_stream(self._stream)
        return results

    def record(self, step: Callable[[], Results]) -> tuple[Results, Callable[[], None]]:
        graph = torch.cuda.CUDAGraph()
        # Where ending the capture raises, the graph's context of some versions of torch leaves its own stream current.
        restoring = torch.cuda.stream(torch.cuda.current_stream(self._stream.device))
        # Of this thread only: another one may write to a database meanwhile, or pin memory.
        recording = torch.cuda.graph(
            graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
        )
        with restoring, recording:
            results = step()
        return results, graph.replay
