"""Tables for terminals and for Markdown."""

from collections.abc import Sequence

import tabulate

tabulate.MIN_PADDING = 0  # otherwise columns would be two wider than their headers


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, markdown: bool = False) -> str:
    """A table, its first column aligned to the left, the others to the right."""
    if markdown:
        rows = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    text: str = tabulate.tabulate(
        rows,
        header,
        tablefmt="pipe" if markdown else "plain",
        colalign=["left", *["right"] * (len(header) - 1)],
        disable_numparse=True,
    )
    return text
