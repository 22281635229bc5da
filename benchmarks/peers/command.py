"""The commands of a side, with the standard library alone: `work INPUT OUTPUT`, `answer OUTPUT`, `prepare OUTPUT`."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.work.events import KEY

Seconds = dict[str, float]
LAYERS = ("bronze", "silver", "gold")


def side(
    work: Callable[[Path, Path, Sequence[str]], Seconds],
    answer: Callable[[Path, Sequence[str]], Mapping[str, str]],
    prepare: Callable[[Path], None] = lambda _: None,
) -> None:
    """Does what the command line says and prints one line of JSON last.

    Args:
        work: reads INPUT, writes below OUTPUT the layers that are asked for, gives the seconds of each.
        answer: the numbers that OUTPUT holds, of the layers that are asked for.
        prepare: leaves in OUTPUT what the tool makes once for each state of its project, and not for each run.
    """
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("prepare", "work", "answer"):
        command = commands.add_parser(name)
        if name == "work":
            command.add_argument("given", type=Path)
        command.add_argument("output", type=Path)
        command.add_argument("--layers", default=",".join(LAYERS))
    asked = parser.parse_args()
    output, layers = asked.output.resolve(), asked.layers.split(",")
    output.mkdir(parents=True, exist_ok=True)
    if asked.command == "prepare":
        prepare(output)
        print(json.dumps({}))
    elif asked.command == "work":
        print(json.dumps({"seconds": [work(asked.given.resolve(), output, layers)]}))
    else:
        print(json.dumps(dict(answer(output, layers))))


def hmac_pads() -> tuple[str, str]:
    """The key of the tokens as the two blocks of HMAC-SHA256, inner and outer, in hexadecimal.

    HMAC is then `sha256(outer || sha256(inner || value))`, which any SQL can say.
    """
    key = hashlib.sha256(KEY.encode()).digest() if len(KEY) > 64 else KEY.encode()
    inner, outer = (bytes(byte ^ pad for byte in key.ljust(64, b"\0")).hex() for pad in (0x36, 0x5C))
    return inner, outer
