"""Tables for terminals and for Markdown."""

from collections.abc import Sequence

import tabulate

tabulate.MIN_PADDING = 0  # otherwise columns would be two wider than their headers


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, markdown: bool = False, left: int = 1) -> str:
    """A table, its first columns, `left` of them, aligned to the left, the others to the right."""
    if markdown:
        rows = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    text: str = tabulate.tabulate(
        rows,
        header,
        tablefmt="pipe" if markdown else "plain",
        colalign=["left"] * left + ["right"] * (len(header) - left),
        disable_numparse=True,
    )
    return text


def labels(names: Sequence[str], markdown: bool) -> list[str]:
    """Names that leave room in 80 columns, if they stay different; in Markdown as code, where ~ strikes nothing out."""
    start = next((i for i, letters in enumerate(zip(*names, strict=False)) if len(set(letters)) > 1), 0)
    forms = (
        [name if len(name) <= 18 else f"{name[:8]}…{name[-9:]}" for name in names],
        [name if len(name) <= 18 else f"…{name[start : start + 17]}" for name in names],
        list(names),
    )
    short = next(form for form in forms if len(set(form)) == len(set(names)))
    return [f"`{name}`" if markdown else name for name in short]


def percents(ends: tuple[float, float], sign: str = "-") -> str:
    """An interval of fractions in percent; with "+" for a sign, both ends show theirs."""
    return " to ".join(f"{100 * end:{sign}.2f}" for end in ends)


def probability(p: float) -> str:
    """A p-value."""
    return f"{p:.4f}" if p >= 0.0001 else "<0.0001"
