"""onnxruntime: a session on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_tasks.engines.packages import PackageEngine
from scaling_tasks.engines.threads import thread_count
from scaling_tasks.errors import EngineError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scaling_tasks.engines.contract import Tensors

__all__ = ["ENGINE", "OnnxRuntimeEngine", "session_options"]


class OnnxRuntimeEngine:
    """A session on the CPU.

    Args:
        path: An ONNX file, static or dynamic.
        options: Those that it was compiled with; none of them matters to a session.
    """

    def __init__(self, path: Path, options: Mapping[str, Any]) -> None:
        import onnxruntime

        try:
            session = onnxruntime.InferenceSession(str(path), session_options(), providers=["CPUExecutionProvider"])
        except Exception as cause:
            raise EngineError(f"does not load ({str(cause).splitlines()[0]})", where=str(path)) from cause
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.generic]]:
        """Run at the bucket's shape."""
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(inputs)), strict=True))

    def close(self) -> None:
        """Release the session."""
        self._session = None


ENGINE = PackageEngine("onnxruntime", OnnxRuntimeEngine)


def session_options() -> Any:
    """Return options for a session with as many threads as an engine may use, that reports errors only."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads := thread_count():
        options.intra_op_num_threads = threads
    return options
