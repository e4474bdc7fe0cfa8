"""The classifier as an ONNX model from pixels to probabilities, normalisation included; export alone uses it."""

from collections.abc import Mapping
from typing import Any

from digits.data.dataset import to_pixels

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn


def to_onnx(model: nn.Module, metadata: Mapping[str, str]) -> bytes:
    """Export a model, the same bytes every time.

    Args:
        model: from pixels, float32 (N, 1, 28, 28) in [0, 1], to logits, float32 (N, 10).
        metadata: stored in the file.

    Returns:
        An ONNX file that maps `pixels` to `probabilities`, float32 (N, 10), for any number N of images.
    """
    network = nn.Sequential(model, nn.Softmax(dim=1)).eval()
    program: Any = torch.onnx.export(
        network,
        (torch.zeros(2, 1, 28, 28),),
        input_names=["pixels"],
        output_names=["probabilities"],
        dynamic_shapes=({0: torch.export.Dim("images")},),
        verbose=False,
    )
    exported = program.model_proto
    exported.producer_version = torch.__version__.partition("+")[0]  # not which build, for the CPU or for CUDA
    # PyTorch records the source file and line of each layer.
    for part in (exported.graph, *exported.graph.node, *exported.graph.value_info):
        del part.metadata_props[:]
    onnx.helper.set_model_props(exported, dict(metadata))
    onnx.checker.check_model(exported, full_check=True)
    content: bytes = exported.SerializeToString(deterministic=True)
    return content


def predict_onnx(model: bytes, images: torch.Tensor, batch_size: int) -> torch.Tensor:
    """Probabilities, float32 (N, 10), of images, uint8 (N, 28, 28), from ONNX Runtime on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    batches = (to_pixels(batch).numpy() for batch in images.split(batch_size))
    return torch.from_numpy(np.concatenate([session.run(["probabilities"], {"pixels": b})[0] for b in batches]))
