"""Tables in Markdown that benchmarks write into the pages of the documentation, each between two comments."""

from pathlib import Path


def with_table(text: str, name: str, table: str) -> str:
    """The text of a page with `table` between the comments `<!-- name -->` and `<!-- end of name -->`."""
    head, begin, rest = text.partition(f"<!-- {name} -->\n")
    _, end, tail = rest.partition(f"<!-- end of {name} -->\n")
    return f"{head}{begin}\n{table}\n\n{end}{tail}"


def write_table(page: Path, name: str, table: str) -> None:
    """Replace the table of that name in a page."""
    page.write_text(with_table(page.read_text(encoding="utf-8"), name, table), encoding="utf-8")
