"""What the tests of bad input share: how much of it is made up, and what every refusal must look like."""

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

from digits.foundation.stage import UserError

LONGEST_MESSAGE = 10_000  # characters, besides paths
TIMES = int(os.environ.get("INPUTS", "1"))  # INPUTS=100 pytest ... tries a hundred times as many, others every time
# Characters of every kind, and those that mean something to Git. To draw from all of Unicode takes 3 s at first.
CHARACTERS = "aZ9 -_./:~^@{\n\t\x1b\x7f\x85é\u0301\u0663\u2028\u202e\ue000\ufeff\U0001f600\U0010ffff"
HOME = TemporaryDirectory(prefix="hypothesis-")
set_hypothesis_home_dir(HOME.name)


def many(count: int) -> settings:
    """`count` made-up cases, the same every time unless `INPUTS` asks for more; nothing of them is kept."""
    return settings(
        max_examples=count * TIMES,
        derandomize=TIMES == 1,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def refusal(action: Callable[[], Any], where: Path | str) -> str:
    """The message of the UserError in which `action` ends, once its form is checked; empty where it ends well."""
    try:
        action()
    except UserError as error:
        message = str(error)
    else:
        return ""
    assert message.startswith(f"{where}: "), message
    assert "Value error" not in message
    assert all(character.isprintable() or character == "\n" for character in message), ascii(message)
    assert len(message.replace(str(where), "")) < LONGEST_MESSAGE
    assert re.search("got |is missing|is unknown|cannot be |is damaged", message), message
    assert re.search("`dvc repro`|`git checkout HEAD ", message), message
    return message


@contextmanager
def little(seconds: float, megabytes: float) -> Iterator[None]:
    """Fail when the block takes more processor time, or, on Linux, lets the process grow by more memory."""
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")  # lets `peak` begin with the memory that this process has now
    start, grown = time.process_time(), -peak()
    yield
    used, grown = time.process_time() - start, grown + peak()
    assert used < seconds, f"{used:.1f} s"
    assert grown < megabytes, f"{grown:.0f} MB"


def peak() -> float:
    """The most memory that this process has had, in megabytes."""
    if sys.platform != "linux":
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1e3
