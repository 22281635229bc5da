"""Python that a source brings along: the class or function that its YAML names, loaded when needed (S1-75, S1-80).

Loading the graph never comes here (I6): what is wrong with such code fails the tick or the run that wants it.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

REFERENCE = re.compile(
    r"(?P<file>[\w-]+\.py):(?P<in_file>[A-Za-z_]\w*)|(?P<module>[A-Za-z_][\w.]*)[.:](?P<name>(?!py$)[A-Za-z_]\w*)"
)


class CodeError(RuntimeError):
    """What a YAML names cannot be loaded; the message says where it was looked for and what to do."""


def is_reference(text: str) -> bool:
    """Whether it is `file.py:Name`, beside the YAML, or `package.module:Name`."""
    return REFERENCE.fullmatch(text) is not None


def load_object(reference: str, folder: Path) -> Any:  # noqa: ANN401 - whatever the source's author wrote
    """The class or function.

    Args:
        reference: `file.py:Name` or `package.module:Name`.
        folder: where the file lies: that of the YAML.

    Raises:
        CodeError: there is no such file, module or name, or importing it raised an exception.
    """
    match = REFERENCE.fullmatch(reference)
    if match is None:
        raise CodeError(f"{reference!r} names no code; expected `file.py:Name` or `package.module:Name`")
    if match["file"]:
        module, name = _module_of_file(folder / match["file"], reference), match["in_file"]
    else:
        module, name = _module(match["module"], reference), match["name"]
    found = getattr(module, name, None)
    if found is None:
        names = ", ".join(sorted(n for n, v in vars(module).items() if callable(v) and not n.startswith("_")))
        raise CodeError(f"{reference!r}: {module.__file__} defines no {name!r}; it defines {names or 'nothing'}")
    return found


def _module_of_file(path: Path, reference: str) -> ModuleType:
    """The file as a module of its own name; a file that was changed is loaded anew."""
    try:
        content = path.read_bytes()
    except OSError:
        raise CodeError(f"{reference!r}: there is no file {path}; it lies beside the source's YAML") from None
    name = f"platform_source_{hashlib.sha256(str(path.resolve()).encode() + content).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise CodeError(f"{reference!r}: {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # a dataclass looks for its module there
    try:
        exec(compile(content, str(path), "exec"), vars(module))  # noqa: S102 - the source's own code is meant to run
    except Exception as error:
        del sys.modules[name]
        raise CodeError(f"{reference!r}: loading {path} raised {type(error).__name__}: {error}") from error
    return module


def _module(name: str, reference: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise CodeError(
            f"{reference!r}: importing {name} raised {type(error).__name__}: {error}. Is its package installed here?"
        ) from error
