"""Export the trained classifier for use without PyTorch, and check that its predictions stay the same.

Reads models/model.safetensors, metrics/test.json and the images in data/tensors/test.safetensors; writes
models/model.onnx, from pixels to probabilities, with the classes, the data set and the metrics in its metadata.
Command: python stages/export.py
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from digits.foundation.arithmetic import use_portable_arithmetic
from digits.foundation.files import read_json, replacing
from digits.foundation.stage import UserError, run

from pydantic import Field, TypeAdapter

if TYPE_CHECKING:
    import torch

MODEL = Path("models/model.safetensors")
TEST = Path("data/tensors/test.safetensors")
METRICS = Path("metrics/test.json")
EXPORTED = Path("models/model.onnx")
Metric = Annotated[int, Field(strict=True)] | Annotated[float, Field(strict=True, allow_inf_nan=False)]
Metrics = Annotated[dict[str, Metric], Field(min_length=1)]
BATCH_SIZE = 1000  # bounds the memory that the check takes


def main() -> None:
    use_portable_arithmetic()
    from digits.data.dataset import load_dataset
    from digits.evaluation.scoring import predict
    from digits.models.classifier import load_model
    from digits.models.onnx_export import predict_onnx, to_onnx

    import torch

    torch.set_num_threads(1)
    model, info = load_model(MODEL)
    images = load_dataset(TEST).images
    metadata = {
        "architecture": info.architecture,
        "classes": json.dumps([str(digit) for digit in range(10)]),
        "dataset": info.dataset,
        "metrics": json.dumps(read_json(METRICS, TypeAdapter(Metrics))),
    }
    exported = to_onnx(model, metadata)
    difference = compare(predict(model, images, BATCH_SIZE), predict_onnx(exported, images, BATCH_SIZE))
    with replacing(EXPORTED) as temporary:
        temporary.write_bytes(exported)
    print(f"{EXPORTED}: {len(exported):,} bytes, probabilities within {difference:.0e} of PyTorch's")


def compare(logits: "torch.Tensor", probabilities: "torch.Tensor") -> float:
    """The largest difference between the probabilities of PyTorch, from its logits, and those of ONNX Runtime.

    Args:
        logits, probabilities: float32 (N, 10).

    Raises:
        UserError: it is larger than rounding explains, or predictions differ.
    """
    # In float32 a logit of 50 is rounded to 4e-6, larger ones in proportion, and so are the sums that lead to it.
    tolerance = 1e-5 * max(1.0, logits.abs().max().item() / 50)
    expected = logits.softmax(dim=1)
    difference = (probabilities - expected).abs().max().item()
    disagreements = (probabilities.argmax(dim=1) != expected.argmax(dim=1)).sum().item()
    if not difference < tolerance or disagreements > 0:
        raise UserError(
            f"{EXPORTED}: ONNX Runtime has to match PyTorch's probabilities to {tolerance:.0e} and its answers, got "
            f"a difference of {difference:.1e} and {disagreements:,} other answers; install the pinned versions "
            "with `pip install -r requirements.txt`, then run `dvc repro`"
        )
    return difference


if __name__ == "__main__":
    run(main)
