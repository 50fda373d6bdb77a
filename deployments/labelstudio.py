"""Label Studio on loopback, in the foreground: its own environment, a generated password and token, no way out.

`make labelstudio` installs the environment and starts this. People log in with the user and password below the folder,
labelop with the token. Analytics, version check, error reports and sign-up without a link are off; it serves files
below one folder only, and of these what a project has a storage for.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from labelop.egress.environment import FAR_END, child_environment
from labelop.settings import process_environment

HOME = Path(__file__).resolve().parent.parent
PROGRAM = HOME / "build" / "labelstudio-venv" / "bin" / "label-studio"
USER = "operator@localhost"

_START_SECONDS = 300.0
"""The first start makes the database: 30 s on two idle cores."""
_STOP_SECONDS = 20.0

_OFF = {
    "COLLECT_ANALYTICS": "false",
    "LATEST_VERSION_CHECK": "false",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
    "FEATURE_FLAGS_OFFLINE": "true",
    "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
    "LABEL_STUDIO_CONVERTER_DOWNLOAD_RESOURCES": "false",
}
"""What would ask somebody elsewhere, or let anybody in."""


def main() -> int:
    """Start the server, wait until it answers, say where it is, and stay until it ends or is told to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where database, password and token lie")
    parser.add_argument("--root", type=Path, required=True, help="folder whose sub-folders it may serve images from")
    parser.add_argument("--port", type=int, default=8085, help="port on loopback; 0 takes a free one")
    parser.add_argument("--program", type=Path, default=PROGRAM, help="the installed label-studio")
    given = parser.parse_args()
    if not given.program.is_file():
        sys.exit(f"error: {given.program} is not there. Hint: `make labelstudio-env` installs it.")
    if not given.root.is_dir():
        sys.exit(f"error: {given.root} is no folder. Hint: --root names the folder above those of the images.")
    folder, root = given.folder.absolute(), given.root.resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    password = _secret(folder / "password", secrets.token_urlsafe(24))
    token = _secret(folder / "token", secrets.token_hex(20))
    port = _free(given.port)
    url = f"http://127.0.0.1:{port}"
    (folder / "data").mkdir(exist_ok=True, mode=0o700)
    own = _OFF | {
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder / "data"),
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(root),
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_ALLOWED_HOSTS": "127.0.0.1,localhost",
        # an interactive backend of this project stands on loopback
        "LABEL_STUDIO_ML_BLOCK_LOCAL_IP": "false",
        # not as arguments: those are shown to everybody on this machine
        "LABEL_STUDIO_USERNAME": USER,
        "LABEL_STUDIO_PASSWORD": password,
        "LABEL_STUDIO_USER_TOKEN": token,
        "PYTHONUNBUFFERED": "1",
    }
    environment = child_environment(FAR_END, process_environment(), own)
    # a shell that runs this in the background ignores the signal, and what is started here would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with (folder / "log").open("ab") as log:
        server = _start(given.program, port, environment, log.fileno())
    try:
        if not _answers(server, f"{url}/health"):
            sys.exit(f"error: Label Studio does not answer at {url}. Hint: see {folder / 'log'}.")
        print(
            f"Label Studio at {url}, user {USER}, password in {folder / 'password'}\n"
            f"export LABELOP_LABEL_STUDIO_URL={url}\n"
            f"export LABELOP_LABEL_STUDIO_TOKEN_FILE={folder / 'token'}\n"
            f"export LABELOP_LABEL_STUDIO_ROOT={root}",
            flush=True,
        )
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        _stop(server)


def _start(program: Path, port: int, environment: Mapping[str, str], log: int) -> subprocess.Popen[bytes]:
    command = [str(program), "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)]
    return subprocess.Popen(  # noqa: S603 - the program of the command line
        [*command, "--enable-legacy-api-token"], env=dict(environment), stdout=log, stderr=log, stdin=subprocess.DEVNULL
    )


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _answers(server: subprocess.Popen[bytes], url: str) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - a loopback address built here
                return server.poll() is None
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    return False


def _secret(path: Path, fresh: str) -> str:
    """Read a secret that only its owner can read; a fresh one is kept where there is none."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    with os.fdopen(handle, "w") as out:
        out.write(fresh + "\n")
    return fresh


def _free(port: int) -> int:
    """Make sure of a port: the server would silently take the next one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            sys.exit(f"error: port {port} is taken. Hint: stop what listens there, or give another --port.")
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
