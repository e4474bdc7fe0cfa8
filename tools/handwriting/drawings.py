"""The drawings that the page saves."""

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

from digits.foundation.files import replacing


class Drawings:
    """The saved drawings, in a folder for each class; raises an `OSError`, as its methods do, where it cannot write."""

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()  # which tells now, not at the first save, that it is read-only
        self.folder, self.classes = folder, classes
        # Where each drawing that was saved here had been before, if anywhere. Only these saves can be undone.
        self.earlier: dict[str, Path | None] = {}

    def count(self) -> int:
        return sum(1 for name in self.classes for _ in (self.folder / name).glob("[!.]*"))

    def save(self, name: str, png: bytes) -> Path:
        """Save a drawing as one of this class, and delete it where it was saved as another."""
        path = self.folder / name / f"{hashlib.sha256(png).hexdigest()[:16]}.png"
        new, places = not path.exists(), (self.folder / other / path.name for other in self.classes if other != name)
        others = [place for place in places if place.exists()]
        with replacing(path) as temporary:
            temporary.write_bytes(png)
        for other in others:
            other.unlink()
        if new:
            self.earlier[str(path)] = others[0] if others else None
        return path

    def undo(self, saved: str) -> str | None:
        """Put a drawing back under its earlier class, which it returns, or delete it; a `KeyError` if not saved."""
        earlier = self.earlier[saved]
        if earlier:
            Path(saved).rename(earlier)
        else:
            Path(saved).unlink(missing_ok=True)
        del self.earlier[saved]
        return earlier.parent.name if earlier else None
