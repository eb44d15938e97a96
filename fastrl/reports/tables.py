"""A table of a report as rows of text, which Markdown, the terminal and the HTML page share."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Table:
    """A head and rows of as many cells each; as a string it is Markdown."""

    head: list[str]
    rows: list[list[str]]

    def __str__(self) -> str:
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


Block = str | Table
"""A part of a report: a paragraph of Markdown (a heading, text, a command) or a table."""
