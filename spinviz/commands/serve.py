"""``spinviz serve``: all apps by Panel's server, bound to this machine unless an address is given."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import NoReturn

from spinviz.serving import limits
from spinviz.serving.limits import FOLDER_VARIABLE, SESSIONS_VARIABLE, SIZE_VARIABLE

LOOPBACK = ("127.0.0.1", "localhost")
PUBLIC_MESSAGE = 24 * 2**20  # bytes: an upload of 16 MB as base64
RETURNING_SECONDS = 86_400  # how long a page may be open and still come back after its connection was lost
LOADING_MILLISECONDS = 60_000  # a page may need to load; tabs that were there and left are closed in seconds (tabs.py)


def serve(arguments: Namespace) -> NoReturn:
    """``spinviz serve``: all apps, on this machine only unless an address is given."""
    folder = Path(__file__).resolve().parents[2] / "apps"
    apps = sorted(str(path) for path in folder.glob("*.py"))
    if not apps:
        raise ValueError(f"there are no apps in {folder}; run this from a checkout of the project")
    options, variables = serve_options(arguments)
    print(f"spinviz: http://{arguments.address}:{arguments.port}/", flush=True)
    os.environ.update(variables)
    os.execv(sys.executable, [sys.executable, "-m", "panel", "serve", *apps, *options])


def serve_options(arguments: Namespace) -> tuple[list[str], dict[str, str]]:
    """Options of ``panel serve`` and environment of the pages. Raises ValueError for what would be unsafe or is not there.

    Websockets are accepted only from pages of this address and of --origin; never from everywhere.
    """
    here = arguments.address in LOOPBACK
    if not here and not arguments.origin:
        raise ValueError(
            f"--address {arguments.address} opens the server to others; say with --origin HOST[:PORT] under which name "
            "browsers reach it (websockets of other origins are refused)"
        )
    if any("*" in origin for origin in arguments.origin):
        raise ValueError("--origin must be a host name with or without a port; '*' would let any page in")
    setup = Path(limits.__file__).with_name("public.py" if arguments.public else "warm.py")
    options = ["--address", arguments.address, "--port", str(arguments.port), "--setup", str(setup), "--index", "main"]
    options += ["--check-unused-sessions", "1000", "--unused-session-lifetime", str(LOADING_MILLISECONDS)]
    options += ["--session-token-expiration", str(RETURNING_SECONDS)]
    for origin in [*arguments.origin, *([f"{host}:{arguments.port}" for host in LOOPBACK] if here else [])]:
        options += ["--allow-websocket-origin", origin]
    options += ["--show"] if arguments.show else []
    variables: dict[str, str] = {}
    if arguments.recordings:
        if not Path(arguments.recordings).is_dir():
            raise ValueError(f"--recordings must be a folder with .h5 files, got {arguments.recordings!r}")
        variables[FOLDER_VARIABLE] = str(Path(arguments.recordings).resolve())
    if arguments.public:
        options += ["--websocket-max-message-size", str(PUBLIC_MESSAGE)]
        variables |= {SIZE_VARIABLE: str(arguments.largest_size), SESSIONS_VARIABLE: str(arguments.sessions)}
    return options, variables
