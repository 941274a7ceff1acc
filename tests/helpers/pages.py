"""Pages of documentation: what they show to be typed, and what they link to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Block", "anchors", "blocks", "links", "named_commands", "prints"]

FENCED = re.compile(r"^( *)```([\w{}-]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^\n|\A)((?:    \S.*\n|\n(?=    ))+)", re.MULTILINE)
# A reason, in a block or for a whole page.
NOT_RUN = re.compile(r"not run by the tests: *\S")
PAGE_NOT_RUN = re.compile(r"commands (?:on|of) this page are not run by the tests: *\S")
# What begins a line that is to be typed; what makes an environment is run by .ci/run.
TYPED = re.compile(r"\$ |bovw |pip |python3? (?!-m venv)|\.venv/|scripts/|curl |ray |docker |\(cd ")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A block of code on a page: `kind` is what its fence says, "indented" without one."""

    kind: str
    text: str
    where: str
    is_excused: bool

    @property
    def is_typed(self) -> bool:
        """Whether it shows commands."""
        return any(TYPED.match(line) for line in self.text.splitlines())

    @property
    def is_run(self) -> bool:
        """Whether the tests run it."""
        shows = self.kind == "python" or bool(re.search(r"^\$ ", self.text, re.MULTILINE))
        return shows and not self.is_excused and self.kind != "indented"

    def commands(self) -> list[tuple[str, str]]:
        """Each command that begins with $, and what is shown below it."""
        text = self.text.replace("\\\n", " ")
        parts = re.split(r"^\$ (.*)\n", text, flags=re.MULTILINE)[1:]
        return list(zip(parts[::2], parts[1::2], strict=True))


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in their order."""
    text = page.read_text()
    excused = bool(PAGE_NOT_RUN.search(text))
    found = [(match.start(), match[2], match[3]) for match in FENCED.finditer(text)]
    # what is in a fence is no indented block: lines stay where they are
    rest = FENCED.sub(lambda match: re.sub(r"[^\n]+", "", match[0]), text)
    at = 0
    for match in INDENTED.finditer(rest):
        at = text.index(match[1], at)
        found.append((at, "indented", re.sub(r"^    ", "", match[1], flags=re.MULTILINE)))
    return [
        Block(
            kind,
            body,
            f"{page.name}:{text.count(chr(10), 0, start) + 1}",
            excused or bool(NOT_RUN.search(body)),
        )
        for start, kind, body in sorted(found)
    ]


def simple(line: str) -> str:
    """A line without what may differ: its numbers, its spaces, and which images agree in
    nothing.
    """
    line = re.sub(r"[-+]?[\d.,]*\d", "0", " ".join(line.split()))
    return re.sub(r"^(0 (?:-|unsure) .* inliers) .*", r"\1 PATH", line)


def prints(told: str, shown: str) -> bool:
    """Whether what was printed has the shape of what a page shows: a line of dots stands for any
    number of lines.
    """
    pattern = "".join(
        r"(?:.*\n)*" if line.strip() == "..." else re.escape(simple(line)) + r"\n"
        for line in shown.strip().splitlines()
    )
    return bool(re.fullmatch(pattern, "".join(f"{simple(line)}\n" for line in told.splitlines())))


def links(page: Path) -> Iterator[str]:
    """What a page links to in this repository."""
    for link in LINK.findall(FENCED.sub("", page.read_text())):
        if not re.match(r"[a-z]+:", link):
            yield link


def named_commands(page: Path) -> Iterator[list[str]]:
    """The words of each bovw command that the text or a block of a page has."""
    text = page.read_text()
    lines = [line.removeprefix("$ ") for block in blocks(page) for line in block.text.splitlines()]
    for command in [*re.findall(r"`(bovw [^`]+)`", text), *lines]:
        if command.startswith("bovw "):
            yield re.split(r"[\s=]+", re.split(r" # |  |[|>&]", command)[0])[1:]


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    text = FENCED.sub("", page.read_text())
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(
            " ", "-"
        )
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }
