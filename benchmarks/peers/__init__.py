"""What a user would pick instead of the platform, each doing the same work in an environment of its own.

A peer is a folder: `requirements.in` (what it is), `requirements.lock` (exactly which), `side.py` and what the tool
itself wants. A new lock is made, when a peer has a new version, with

    uv pip compile --universal --python-version 3.11 --no-annotate --no-header requirements.in -o requirements.lock

A side imports its tool, the standard library, and of this project only what needs nothing else.
"""
