"""Running the exported model by ONNX Runtime; the stage export and the tools use it."""

from collections.abc import Sequence

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state

# Its own errors have no base class of their own.
_CLASSES = [value for value in vars(onnxruntime_pybind11_state).values() if isinstance(value, type)]
_OWN_ERRORS = [kind for kind in _CLASSES if issubclass(kind, Exception)]
ONNX_ERRORS: tuple[type[Exception], ...] = (RuntimeError, ValueError, *_OWN_ERRORS)
FATAL = 4  # the only severity that is logged, since errors are raised, too


def open_session(model: bytes) -> onnxruntime.InferenceSession:
    """A session on one thread, since more are slower here; raises one of `ONNX_ERRORS` if this is no ONNX model."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = FATAL
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run_session(session: onnxruntime.InferenceSession, outputs: Sequence[str], images: np.ndarray) -> list[np.ndarray]:
    """These outputs of a model, (N, ...), for images, uint8 (N, 28, 28); one of `ONNX_ERRORS` if it has others."""
    found: list[np.ndarray] = session.run(outputs, {"pixels": images[:, None].astype(np.float32) / 255})
    return found
