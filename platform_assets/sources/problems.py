"""What is wrong with a source file, in words: the line, what was expected, the nearest word that is right."""

from __future__ import annotations

import re
from enum import Enum
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from platform_assets.contracts.words import nearest
from platform_assets.sources.yaml_file import SourceError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from platform_assets.sources.yaml_file import Place, YamlFile

_SETTING = re.compile(r"[a-z_]+(?:\.[a-z_]+)*")
_EXPECTED = {
    "dict_type": "a mapping, `name: value`",
    "model_type": "a mapping, `name: value`",
    "tuple_type": "a list, `[a, b]`",
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}


def refused(file: YamlFile, model: type[BaseModel], error: ValidationError, short_form: Collection[str]) -> SourceError:
    """All that pydantic found, one line each, in the order of the file; `short_form` are further words at its top."""
    problems = error.errors()
    found = sorted((file.line(_place(file, p)), _sentence(model, p, short_form)) for p in problems)
    return SourceError("\n".join(f"{file.path}:{line}: {sentence}" for line, sentence in found))


def _place(file: YamlFile, problem: ErrorDetails) -> Place:
    """Where the problem stands; one about several settings stands at the first of them that its sentence names."""
    place = _location(problem)
    if problem["type"] != "value_error":
        return place
    named = [tuple(name.split(".")) for name in _SETTING.findall(problem["msg"])]
    read = [found for name in named for found in ((*place, *name), name)]
    return next((found for found in read if len(found) > len(place) and found in file.lines), place)


def _location(problem: ErrorDetails) -> Place:
    return tuple(part for part in problem["loc"] if part != "[key]")


def _sentence(model: type[BaseModel], problem: ErrorDetails, short_form: Collection[str]) -> str:
    place = _location(problem)
    where, got, kind = ".".join(map(str, place)), problem["input"], problem["type"]
    context = problem.get("ctx", {})
    if kind == "extra_forbidden":
        words = _settings(model, place[:-1])
        hint = nearest(str(place[-1]), [*words, *(short_form if len(place) == 1 else ())])
        return f"unknown setting `{where}`{hint or f'; expected one of {_listed(words)}'}"
    if kind == "value_error":
        message = problem["msg"].removeprefix("Value error, ")
        return f"`{where}`: {message}" if where and where not in message else message
    if kind == "missing":
        said = "is missing"
    elif kind in {"enum", "literal_error"}:
        words = [word.strip("'") for word in str(context["expected"]).replace(" or ", ", ").split(", ")]
        said = f"is {got!r}, expected one of {_listed(words)}{nearest(str(got), words)}"
    elif kind in _EXPECTED:
        said = f"is {_shown(got)}, expected {_EXPECTED[kind]}"
    else:
        said = f"is {_shown(got)}: {problem['msg'][0].lower()}{problem['msg'][1:]}"
    return f"`{where}` {said}"


def _shown(value: object) -> str:
    kinds = {dict: "a mapping", list: "a list", type(None): "empty"}
    return kinds.get(type(value), repr(value))


def _listed(words: Sequence[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _settings(model: type[BaseModel], place: Place) -> list[str]:
    """The names that a mapping at `place` may hold."""
    here: Any = model
    for part in place:
        if isinstance(part, str) and isinstance(here, type) and issubclass(here, BaseModel):
            here = _inner(_fields(here)[part])
    return sorted(_fields(here)) if isinstance(here, type) and issubclass(here, BaseModel) else []


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _inner(annotation: Any) -> Any:  # noqa: ANN401 - a type as typing has it
    """The model inside of a tuple, an optional or an annotated type."""
    if get_origin(annotation) in {tuple, list, Union, UnionType, Annotated}:
        models = [_inner(part) for part in get_args(annotation)]
        return next((m for m in models if isinstance(m, type) and not issubclass(m, Enum)), annotation)
    return annotation
