"""The documents of the repository, and what is in them: fenced blocks and tables. Judges nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tests

ROOT = Path(tests.__file__).parent.parent

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Every document for people: those at the root, in docs/, and beside the examples."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("examples/*/*.md"))]


def blocks(*languages: str) -> list[Block]:
    """Every block in one of these languages."""
    return [block for page in pages() for block in _blocks_of(page) if block.language in languages]


def _blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        indent = found[1]
        body = "\n".join(each.removeprefix(indent) for each in found[3].splitlines()) + "\n"
        yield Block(page, line, found[2], body)


def rows(page: Path) -> Iterator[list[str]]:
    """Every row of every table of a page, its heading included, as the text of its cells."""
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("|") and not line.startswith("|---"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def command_lines(block: Block) -> list[str]:
    """The commands of a shell block, continued lines joined, comments and prompts left out."""
    text = re.sub(r"\\\n\s*", " ", block.text)
    lines = [re.sub(r"\s+#.*", "", line).strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]
