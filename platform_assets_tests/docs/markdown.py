"""What the project's Markdown tells a person to type: fenced blocks and code within a sentence, each with its place."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from platform_assets.settings import CHECKOUT

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n(?P<body>.*?)^ *```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`(?P<code>[^`]+)`(?!`)")
_SEPARATORS = {"|", "||", "&&", ";", "&", ">", ">>", "2>", "<"}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line of the file at which the text begins."""

    path: Path
    line: int
    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command as its words; `whole` if a person is to type it like that, not only told its name."""

    path: Path
    line: int
    words: tuple[str, ...]
    whole: bool

    @property
    def place(self) -> str:
        """`docs/guides/alerts.md:12`, and the command."""
        return f"{self.path.relative_to(CHECKOUT)}:{self.line}: {' '.join(self.words)}"


def documents() -> list[Path]:
    """The README and everything under docs."""
    return [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("**/*.md"))]


def blocks(path: Path) -> list[Block]:
    """Its fenced blocks."""
    text = path.read_text(encoding="utf-8")
    return [
        Block(path, text.count("\n", 0, match.start("body")) + 1, match["language"], match["body"])
        for match in _FENCE.finditer(text)
    ]


def commands(path: Path, *programs: str) -> Iterator[Command]:
    """Every command of the programs, in fenced blocks and in sentences."""
    for block in blocks(path):
        for number, line in typed(block):
            yield from _commands(path, number, line, programs, whole=True)
    text = path.read_text(encoding="utf-8")
    outside = _FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)
    for match in _SPAN.finditer(outside):
        begins = outside.count("\n", 0, match.start()) + 1
        yield from _commands(path, begins, " ".join(match["code"].split()), programs, whole=False)


def typed(block: Block) -> Iterator[tuple[int, str]]:
    """What is typed, each continued line with its first; of a console only what stands after its `$`."""
    begun = ""
    for number, line in enumerate(block.text.splitlines(), start=block.line):
        if begun or block.language != "console" or line.startswith("$ "):
            whole = begun + line.removeprefix("$ ")
            begun = f"{whole[:-1]} " if whole.endswith("\\") else ""
            if not begun:
                yield number, whole


def _commands(path: Path, line: int, text: str, programs: tuple[str, ...], *, whole: bool) -> Iterator[Command]:
    named = "|".join(map(re.escape, programs))
    for match in re.finditer(rf"(?:^|(?<=[\s/(]))(?:{named}) ", text):
        lexer = shlex.shlex(text[match.start() :], posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        words = []
        try:
            for word in lexer:
                if word in _SEPARATORS:
                    break
                words.append(word)
        except ValueError:  # a quote that is closed on a later line of the same command
            pass
        yield Command(path, line, tuple(words), whole)
