"""The classifier as an ONNX model from pixels to probabilities, normalisation included; export alone uses it."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from digits.export.inputs import Prediction
from digits.export.runtime import open_session, run_session
from digits.foundation.stage import UserError
from digits.models.model_file import Model

# The oldest versions that will do, since older runtimes can read them: BatchNormalization is that of operator set 15.
OPSET, IR_VERSION = 15, 8


def to_onnx(model: Model, metadata: Mapping[str, str], description: str) -> bytes:
    """Translate a model to an ONNX file, which holds the metadata and the description, too; the same bytes every time.

    It maps `pixels`, float32 (N, 1, 28, 28) in [0, 1], to `logits` and `probabilities`, float32 (N, classes), for any
    number N of images.
    """
    mean, std = model.tensors["mean"], model.tensors["std"]
    tensors = model.tensors | {"shift": -mean / std, "scale": 1 / std}
    nodes = [
        helper.make_node("Mul", ["pixels", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "shift"], ["standardized"]),
    ]
    used, value = ["scale", "shift"], "standardized"
    for index, layer in enumerate(model.layers):
        if layer.operator is None:
            continue
        inputs = [f"layers.{index}.{name}" for name in layer.tensors if name != "num_batches_tracked"]
        nodes.append(helper.make_node(layer.operator, [value, *inputs], [f"layers.{index}"], **layer.attributes))
        used, value = [*used, *inputs], f"layers.{index}"
    nodes[-1].output[0] = "logits"
    nodes.append(helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1))
    graph = helper.make_graph(
        nodes,
        model.info.architecture,
        inputs=[helper.make_tensor_value_info("pixels", onnx.TensorProto.FLOAT, ["images", 1, 28, 28])],
        outputs=[
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["images", len(model.info.dataset.classes)])
            for name in ("probabilities", "logits")
        ],
        initializer=[numpy_helper.from_array(np.asarray(tensors[name], dtype=np.float32), name) for name in used],
    )
    opset = helper.make_opsetid("", OPSET)
    exported = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="digits")
    exported.doc_string = description
    helper.set_model_props(exported, dict(metadata))
    onnx.checker.check_model(exported, full_check=True)
    content: bytes = exported.SerializeToString(deterministic=True)
    return content


def predict_onnx(model: bytes, images: np.ndarray, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits and probabilities, float32 (N, classes), of images, uint8 (N, 28, 28), from ONNX Runtime on one thread."""
    session = open_session(model)
    batches = (images[start : start + batch_size] for start in range(0, len(images), batch_size))
    results = [run_session(session, ["logits", "probabilities"], batch) for batch in batches]
    logits, probabilities = (np.concatenate(arrays) for arrays in zip(*results, strict=True))
    return logits, probabilities


def compare(
    expected: Sequence[Prediction], classes: Sequence[str], logits: np.ndarray, probabilities: np.ndarray
) -> float:
    """The largest difference between the confidences of evaluate, rounded to 6 digits, and those of ONNX Runtime.

    There is an expected prediction for each row of ONNX Runtime's logits and probabilities, float32 (N, classes), of
    which that of the predicted class and the largest count. Raises a `UserError` if rounding does not explain it.
    """
    given = probabilities[np.arange(len(expected)), [classes.index(row.predicted) for row in expected]]
    confidence = np.array([row.confidence for row in expected])
    difference = float(np.abs([given - confidence, probabilities.max(axis=1) - confidence]).max())
    # In float32 a logit of 50 is rounded to 4e-6, larger ones in proportion, and so are the sums that lead to it.
    tolerance = 1e-5 * max(1.0, np.abs(logits).max().item() / 50)
    if not difference < tolerance:
        raise UserError(
            f"models/model.onnx: must give the confidences of evaluate, to {tolerance:.0e}, got a difference of "
            f"{difference:.1e}; install the pinned versions by `pip install -r requirements.txt`, then run `dvc repro`"
        )
    return difference
