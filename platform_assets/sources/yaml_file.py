"""Reads a YAML file together with where everything stands in it, so that an error can name its line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

Place = tuple[str | int, ...]


class SourceError(ValueError):
    """A source folder cannot be used; the message names the file, the line and what was expected."""


class _Loader(yaml.CSafeLoader):
    """YAML 1.2's scalars: `on`, `no` and `2026-11-21` are text, as whoever writes `on: customer_id` means it."""


_PLAIN = {"bool": re.compile("(true|True|TRUE|false|False|FALSE)$"), "int": re.compile("[-+]?(0|[1-9][0-9]*)$")}
_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, _PLAIN.get(tag.rpartition(":")[2], pattern))
        for tag, pattern in resolvers
        if tag not in {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"}
    ]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class YamlFile:
    """A parsed file.

    Attributes:
        data: what it says.
        lines: for the place of each setting (names and numbers from the outermost in), its line, from 1.
    """

    path: Path
    data: Mapping[str, Any]
    lines: Mapping[Place, int]

    def error(self, place: Place, message: str) -> SourceError:
        """An error at a setting; one that is missing is told at the line of what should hold it."""
        return SourceError(f"{self.path}:{self.line(place)}: {message}")

    def at(self, place: Place) -> object:
        """What stands at a place."""
        found: Any = self.data
        for step in place:
            found = found[step]
        return found

    def line(self, place: Place) -> int:
        """The line of a setting, or of the nearest thing around it."""
        known = (self.lines[place[:length]] for length in range(len(place), -1, -1) if place[:length] in self.lines)
        return next(known, 1)


def read_yaml(path: Path) -> YamlFile:
    """The mapping that a YAML file holds.

    Raises:
        SourceError: the file is missing, is not UTF-8 or not YAML, is no mapping, or says one thing twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SourceError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: cannot be read: {error}") from None
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise SourceError(f"{path}:1: expected settings, as `name: value`; got {_kind(node)}")
        lines = dict(_lines(path, node, ()))
        data = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise SourceError(f"{path}:{line}: not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:  # such as a control character, which carries no mark
        raise SourceError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    finally:
        loader.dispose()
    return YamlFile(path, data, lines)


def _lines(path: Path, node: yaml.Node, place: Place) -> Iterator[tuple[Place, int]]:
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                where = ".".join(map(str, (*place, key.value)))
                raise SourceError(
                    f"{path}:{line}: `{where}` is said twice; it stands in line {seen[key.value]} already"
                )
            seen[key.value] = line
            yield (*place, key.value), line
            yield from _lines(path, value, (*place, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            yield (*place, position), value.start_mark.line + 1
            yield from _lines(path, value, (*place, position))


def _kind(node: yaml.Node | None) -> str:
    kinds = {yaml.SequenceNode: "a list", yaml.ScalarNode: "a single value"}
    return "nothing" if node is None else kinds.get(type(node), "something else")
