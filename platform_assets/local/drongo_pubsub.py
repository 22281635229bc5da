"""drongo's Pub/Sub emulator as a server with a port of our choice; the package itself has no command for it."""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor


def serve(port: int) -> None:
    """Serve the Pub/Sub gRPC API on 127.0.0.1:`port` until the process is ended.

    Raises:
        RuntimeError: the port is taken.
    """
    import grpc
    from drongo.services.pubsub.emulator import PubSubEmulator
    from google.protobuf import empty_pb2
    from google.pubsub_v1 import types

    emulator = PubSubEmulator()
    # drongo fills these three and takes a port of its own in `_boot`; its handlers need nothing else.
    emulator._grpc, emulator._pt, emulator._empty = grpc, types, empty_pb2  # noqa: SLF001
    server = grpc.server(ThreadPoolExecutor(max_workers=8), options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers(emulator._build_handlers())  # noqa: SLF001
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, required=True)
    serve(arguments.parse_args().port)
