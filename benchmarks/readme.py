"""Tables that benchmarks write into README.md, between two marks."""

from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"


def with_table(text: str, name: str, table: str) -> str:
    """The text of README.md with the table between the two marks of this name."""
    head, begin, rest = text.partition(f"<!-- {name} -->\n")
    _, end, tail = rest.partition(f"<!-- end of {name} -->\n")
    return f"{head}{begin}\n{table}\n{end}{tail}"


def write_table(name: str, table: str) -> None:
    """Put the table into README.md."""
    README.write_text(with_table(README.read_text(encoding="utf-8"), name, table), encoding="utf-8")
