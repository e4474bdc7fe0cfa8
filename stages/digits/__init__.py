"""What the stages are made of, in rooms by subject.

Imports point one way: script -> its subject -> foundation, which knows nothing about digits. In full: a room imports
only from itself and from those before it in the order foundation, data, models, evaluation, figures, training, and
nothing imports a stage script. Imports name modules, never packages, so that a stage depends on no more files than it
uses. Each room's docstring says what it is for. tests/repository/test_wiring.py holds these rules.
"""

import sys
from importlib.util import find_spec

# DVC runs the stages with the first `python` on PATH, which may be the wrong one.
NEEDED = ["filelock", "matplotlib", "numpy", "onnx", "onnxruntime", "PIL"]
NEEDED += ["platformdirs", "pydantic", "requests", "safetensors", "sklearn", "torch", "tqdm", "yaml"]
missing = [name for name in NEEDED if find_spec(name) is None]
if missing:
    sys.exit(
        f"error: python: {', '.join(missing)} not installed for {sys.executable}; "
        "activate the environment of requirements.txt (source .venv/bin/activate), or use `make run`"
    )
