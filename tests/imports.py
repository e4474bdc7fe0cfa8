"""Which of the project's files a stage script imports."""

import ast
from pathlib import Path

from conftest import ROOT


def imported_modules(path: Path) -> list[str]:
    """The modules that a file imports anywhere in it, by absolute name."""
    modules = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            modules.append(node.module or "")
        elif isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
    return modules


def files_of(module: str) -> list[Path]:
    """The project's files that are run when `module` is imported: its own and its packages'."""
    parts = module.split(".")
    if parts[0] != "digits":
        return []
    folders = [ROOT.joinpath("stages", *parts[:depth]) for depth in range(1, len(parts))]
    own = ROOT.joinpath("stages", *parts).with_suffix(".py")
    assert own.is_file(), f"{module}: import modules, not packages"
    return [own, *(folder / "__init__.py" for folder in folders)]


def imported_files(script: Path) -> set[str]:
    """The project's files that `script` imports anywhere in it, directly or not, and itself."""
    found: set[Path] = set()
    to_read = [script]
    while to_read:
        path = to_read.pop()
        if path not in found:
            found.add(path)
            to_read += [file for module in imported_modules(path) for file in files_of(module)]
    return {path.relative_to(ROOT).as_posix() for path in found}
