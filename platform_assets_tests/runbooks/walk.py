"""Follows a runbook: types its commands one after the other and compares what it shows with what comes out.

In what a runbook shows, `…` stands for any text, a line of it for any lines; what is named anew each time (rows, runs,
times, backfills, buckets) may be any name of the same form, and where a command uses it, the one that came out is used.
An HTML comment `<!-- then: … -->` says what somebody else does at that moment; the test knows how.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from platform_assets.settings import CHECKOUT

RUNBOOKS = CHECKOUT / "docs" / "runbooks"
_PART = re.compile(
    r"<!-- then: (?P<then>.+?) -->|^```(?P<language>console|text)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE
)
# Each form that names something anew whenever it happens, and what takes its place.
_FORMS = {
    "id": r"\b[0-9a-f]{16}\b",
    "run": r"\b(?=[0-9a-f]*\d)[0-9a-f]{8}\b",
    "moment": r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?:\+00:00)?",
    "bucket": r"gs://[\w-]+",
    "generation": r"#\d+",
    "duration": r"\b\d+ (?:d|h|min|s)\b(?: \d+ (?:h|min|s)\b)?",
    "backfill": r"(?:(?<=backfill )|(?<=/b/))[a-z]{8}\b",
}
_USED_AGAIN = {"id", "run", "bucket", "backfill"}  # by a later command
_FORM = re.compile("|".join(f"(?P<{name}>{form})" for name, form in _FORMS.items()))
_PAUSE = 0.5
_RULE = re.compile(r"[\s─━]*")


@dataclass(frozen=True)
class Step:
    """A command with the output that the runbook shows, or what somebody else does (`then`), or an alert's text."""

    line: int
    command: str = ""
    shown: str = ""
    then: str = ""
    alert: str = ""


@dataclass
class Walk:
    """One way through a runbook.

    Attributes:
        path: the runbook.
        run: runs a command; returns what it printed.
        others: what somebody else does, by the words of the runbook.
        told: the paragraphs of all alerts that were delivered so far.
        names: what the runbook calls otherwise than this test does, such as the date of its example.
        patience: seconds for which a command is repeated until it shows what the runbook does.
    """

    path: Path
    run: Callable[[str], str]
    others: Mapping[str, Callable[[], None]]
    told: Callable[[], list[str]]
    names: Mapping[str, str] = field(default_factory=dict)
    patience: float = 0
    _bound: dict[str, str] = field(default_factory=dict)

    def follow(self) -> int:
        """Takes every step; returns how many commands were run."""
        found = steps(self.path)
        assert found, self.path
        assert {step.then for step in found if step.then} == set(self.others)
        for step in found:
            if step.then:
                self.others[step.then]()
            elif step.alert:
                told = self.told()
                assert any(self._is(step.alert, one) for one in told), self._place(step, step.alert, "\n\n".join(told))
            else:
                printed = self._run(step)
                assert self._is(step.shown, printed), self._place(step, step.shown, printed)
        return sum(bool(step.command) for step in found)

    def _run(self, step: Step) -> str:
        """What the command printed; of one that shows what is to come, after some time."""
        deadline = time.monotonic() + self.patience
        while True:
            printed = self.run(self._named(step.command))
            if time.monotonic() > deadline or self._is(step.shown, printed):
                return printed
            time.sleep(_PAUSE)

    def _is(self, shown: str, printed: str) -> bool:
        shown = self._named(shown)
        match = re.fullmatch(_pattern(shown), _plain(printed))
        if match is None:
            return False
        for number, form in enumerate(_FORM.finditer(_plain(shown))):
            if form.lastgroup in _USED_AGAIN:
                self._bound.setdefault(form[0], match[f"form{number}"])
        return True

    def _named(self, command: str) -> str:
        """The command with the names that came out instead of those in the runbook."""
        for shown, real in sorted({**self._bound, **self.names}.items(), key=lambda item: -len(item[0])):
            command = command.replace(shown, real)
        return command

    def _place(self, step: Step, shown: str, printed: str) -> str:
        return f"{self.path.name}:{step.line}: shown:\n{_plain(shown)}\n\nbut this came out:\n{_plain(printed)}"


def steps(path: Path) -> list[Step]:
    """The steps of a runbook in their order."""
    text = path.read_text(encoding="utf-8")
    found: list[Step] = []
    for part in _PART.finditer(text):
        line = text.count("\n", 0, part.start()) + 1
        if part["then"]:
            found.append(Step(line, then=part["then"]))
        elif part["language"] == "text":
            found.append(Step(line, alert=part["body"]))
        else:
            found += _console(part["body"], line + 1)
    return found


def _console(body: str, line: int) -> Iterator[Step]:
    for typed in re.finditer(r"^\$ (?P<command>(?:.*\\\n)*.*)\n?(?P<shown>(?:(?!\$ ).*\n?)*)", body, re.MULTILINE):
        command = typed["command"].replace("\\\n", " ")
        yield Step(line + body.count("\n", 0, typed.start()), command, typed["shown"])


def _plain(text: str) -> str:
    """Lines without indentation, frames, empty lines and repeated blanks."""
    lines = (" ".join(line.split()) for line in text.splitlines() if not _RULE.fullmatch(line))
    return "".join(f"{line}\n" for line in lines)


def _pattern(shown: str) -> str:
    pattern, position, number = "", 0, 0
    plain = _plain(shown)
    for match in _FORM.finditer(plain):
        pattern += _literal(plain[position : match.start()])
        pattern += f"(?P<form{number}>{_FORMS[str(match.lastgroup)]})"
        position, number = match.end(), number + 1
    pattern += _literal(plain[position:])
    return re.sub(r"(?m)^\[\^\\n\]\*\?\\\n", r"(?:[^\\n]*\\n)*?", pattern)


def _literal(text: str) -> str:
    return re.escape(text).replace("…", r"[^\n]*?")
