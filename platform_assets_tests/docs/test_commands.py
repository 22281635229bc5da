"""Every command that the documents name exists, with its options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from platform_assets.cli import app
from platform_assets_tests.docs.markdown import Command, commands, documents

# Any: Dagster's are Click's, the platform's are those of the Click within Typer.
_PLATFORM: Any = typer.main.get_command(app)
_GROUPS = [name for name, command in _PLATFORM.commands.items() if hasattr(command, "commands")]
_PLACEHOLDERS = {"…", "..."}


def _wrong(root: Any, command: Command) -> Iterator[str]:  # noqa: ANN401 - see above
    """What is wrong with it."""
    found, words = root, list(command.words[1:])
    while hasattr(found, "commands") and words and not words[0].startswith("-"):
        if words[0] in _PLACEHOLDERS:
            return
        name = words.pop(0)
        if name not in found.commands:
            yield f"there is no `{name}`, only {', '.join(sorted(found.commands))}"
            return
        found = found.commands[name]
    options = {word.strip("[]").partition("=")[0] for word in words if re.match(r"\[?-.", word)}
    needs_more = hasattr(found, "commands") and not found.invoke_without_command
    if needs_more and command.whole and "--help" not in options:
        yield "it names no command of the group"
    yield from _wrong_options(found, options, whole=command.whole)


def _wrong_options(found: Any, options: set[str], *, whole: bool) -> Iterator[str]:  # noqa: ANN401 - see above
    known = {option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for option in sorted(options - known - {"--help"}):
        yield f"`{found.name}` has no option {option}, only {', '.join(sorted(known))}"
    for parameter in found.params if whole and "--help" not in options else ():
        if parameter.param_type_name == "option" and parameter.required and not {*parameter.opts} & options:
            yield f"`{found.name}` wants {parameter.opts[0]}"


def _all(*programs: str) -> list[Command]:
    return [command for path in documents() for command in commands(path, *programs)]


def test_every_command_of_the_platform_in_the_documents_exists() -> None:
    found = _all("platform-assets")
    assert len(found) > 30
    assert [f"{one.place}: {wrong}" for one in found for wrong in _wrong(_PLATFORM, one)] == []


def test_commands_named_by_their_group_alone_exist() -> None:
    short = [one for one in _all(*_GROUPS) if len(one.words) > 1 and one.words[1].isidentifier() and not one.whole]
    assert len(short) > 3
    named = [Command(one.path, one.line, ("platform-assets", *one.words), whole=False) for one in short]
    assert [f"{one.place}: {wrong}" for one in named for wrong in _wrong(_PLATFORM, one)] == []


def test_every_command_of_dagster_in_the_documents_exists() -> None:
    from dagster._cli import cli
    from dagster._daemon.cli import cli as daemon

    programs = {"dagster": cli, "dagster-daemon": daemon}
    found = [(programs[name], one) for name in programs for one in _all(name) if one.words[0] == name]
    assert [f"{one.place}: {wrong}" for root, one in found for wrong in _wrong(root, one)] == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("quarantine lst", "there is no `lst`"),
        ("quarantine discard orders --because x", "has no option --because"),
        ("partitions release silver/orders -", "wants --why"),
        ("alerts", "names no command"),
    ],
)
def test_what_does_not_exist_is_found(words: str, told: str) -> None:
    path = documents()[0]
    assert any(
        told in wrong for wrong in _wrong(_PLATFORM, Command(path, 1, ("platform-assets", *words.split()), True))
    )
