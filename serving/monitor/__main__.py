"""`python -m parfocal_serving.monitor`: serve until told to stop."""

from __future__ import annotations

import argparse
import logging
import socket
import sys

import uvicorn
from parfocal_serving.monitor.app import build
from parfocal_serving.monitor.database import migrate
from parfocal_serving.monitor.settings import MonitorSettings
from parfocal_serving.security.listening import at_least_tls_1_2, demand_sound

from parfocal.core.errors import ParfocalError


def main() -> int:
    """Returns the exit code of the house: 2 for settings that cannot be served, 6 for a database that is away."""
    parser = argparse.ArgumentParser(prog="python -m parfocal_serving.monitor", description="Serve the monitor.")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; with PARFOCAL_OPEN this machine's alone"
    )
    parser.add_argument("--port", type=int, default=8081)
    parser.add_argument("--fd", type=int, help="listen on this inherited socket instead")
    parser.add_argument("--migrate", action="store_true", help="bring the database to this version, and end")
    said = parser.parse_args()
    settings = MonitorSettings()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        if said.migrate:
            print(migrate(settings.monitor_database))  # noqa: T201
            return 0
        demand_sound(settings, said.host)
        # A proxy's word about the client is not believed: it would make anyone this machine.
        config = uvicorn.Config(
            build(settings), host=said.host, port=said.port, access_log=False, proxy_headers=False,
            timeout_graceful_shutdown=10, ssl_certfile=settings.tls_certificate, ssl_keyfile=settings.tls_key,
            ssl_context_factory=at_least_tls_1_2 if settings.tls_certificate else None,
        )  # fmt: skip
        # uvicorn takes every descriptor for a Unix socket, and such get no TCP_NODELAY: 40 ms on every answer.
        uvicorn.Server(config).run(None if said.fd is None else [socket.socket(fileno=said.fd)])
    except ParfocalError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
