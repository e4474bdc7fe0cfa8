"""What a run of the pipeline printed and wrote."""

import re
from pathlib import Path

STAGES = ["download", "preprocess", "train", "evaluate", "export"]


def stages_run(output: str) -> list[str]:
    return re.findall(r"Running stage '(\w+)'", output)


def results(folder: Path) -> dict[str, bytes]:
    """Everything that the pipeline wrote, by path."""
    outputs = [path for name in ("data", "models", "metrics") for path in sorted((folder / name).rglob("*"))]
    return {str(path.relative_to(folder)): path.read_bytes() for path in outputs if path.is_file()}
