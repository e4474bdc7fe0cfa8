"""How a stage or a command prints and fails."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from command import run_command
from digits.foundation import stage
from digits.foundation.stage import run


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a stage run in a folder of its own, and leave this process as it is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "ROOT", tmp_path)
    monkeypatch.setattr(stage, "LOCK", tmp_path / "lock")
    for name in ("signal.signal", "gc.set_threshold", "gc.freeze"):
        monkeypatch.setattr(name, lambda *_: None)


@pytest.mark.parametrize("start", [run, run_command])
def test_what_an_encoding_lacks_is_escaped(
    monkeypatch: pytest.MonkeyPatch, start: Callable[[Callable[[], None]], None]
) -> None:
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(printed := io.BytesIO(), "ascii", write_through=True))
    start(lambda: print("7 ≠ 1"))
    assert printed.getvalue().strip() == rb"7 \u2260 1"


LACKS = MemoryError(), RuntimeError("std::bad_alloc"), ImportError("libtorch.so: failed to map segment")


@pytest.mark.parametrize("error", [*LACKS, RuntimeError("shapes differ"), ImportError("no name x in y")])
def test_too_little_memory_is_one_line_and_a_bug_keeps_its_traceback(error: Exception) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit if error in LACKS else type(error)) as caught:
        run(main)
    expected = "error: memory: not enough for this stage; .*" if error in LACKS else str(error)
    assert re.fullmatch(expected, str(caught.value))
