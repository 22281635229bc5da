"""`platform-assets pages` as a person starts it and stops it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from platform_assets.local.servers import free_port


def test_it_says_where_the_page_is_serves_it_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    port = free_port()
    # Whoever runs the tests in the background may have them ignore interrupts, and all that they start.
    heeds = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [
        sys.executable,
        "-c",
        f"{heeds}; from platform_assets.cli import app; app()",
        "pages",
        "--port",
        str(port),
    ]
    environment = {**os.environ, "PLATFORM_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"Freshness: http://127.0.0.1:{port}/freshness\n"
        deadline = time.monotonic() + 60
        while True:
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}/freshness", timeout=30)
                break
            except httpx.ConnectError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert (answer.status_code, process.returncode, rest) == (200, 0, "")
