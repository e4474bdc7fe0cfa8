"""What two or more stages share, one small module per concept."""

import sys
from importlib.util import find_spec

NEEDED = ["filelock", "matplotlib", "numpy", "onnx", "onnxruntime", "onnxscript", "PIL"]
NEEDED += ["platformdirs", "pydantic", "requests", "safetensors", "sklearn", "torch", "torchvision", "tqdm", "yaml"]
missing = [name for name in NEEDED if find_spec(name) is None]
if missing:
    sys.exit(
        f"error: python: {', '.join(missing)} not installed for {sys.executable}; "
        "activate the environment of requirements.txt (source .venv/bin/activate), or use `make run`"
    )
