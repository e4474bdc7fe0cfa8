"""How a stage runs, fails, reads parameters and writes files. Knows nothing about digits; used by every stage."""

import sys
from importlib.util import find_spec

# DVC runs the stages with the first `python` on PATH, which may be the wrong one.
NEEDED = ["cv2", "filelock", "matplotlib", "numpy", "onnx", "onnxruntime", "PIL"]
NEEDED += ["platformdirs", "pydantic", "requests", "safetensors", "sklearn", "torch", "tqdm", "yaml"]
missing = [name for name in NEEDED if find_spec(name) is None]
if missing:
    sys.exit(
        f"error: python: {', '.join(missing)} not installed for {sys.executable}; "
        "activate the environment of requirements.txt (source .venv/bin/activate), or use `make run`"
    )
