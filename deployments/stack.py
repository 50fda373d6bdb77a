"""The stack on one machine: Prefect server, two process pools with a worker each, deployments, inference server.

Started as real processes on loopback and stopped in the order that works: workers first, server last. Each placement
has its own environment: only the cloud worker is told where the inference server is. Beyond one machine the same
deployments point their pools at other hosts and this file is not needed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from deployments.automations import install
from labelop.egress.environment import CLOUD, FAR_END, ONPREM, child_environment
from labelop.egress.keys import ensure_key, export_public

HOME = Path(__file__).resolve().parent.parent
POOLS = {ONPREM: "onprem-gpu", CLOUD: "cloud-batch"}

_START_SECONDS = 180.0
_STOP_SECONDS = 20.0


def up(
    folder: Path, *, ui_port: int, model_port: int, store: str | None, model_server: str = "builtin"
) -> dict[str, object]:
    """Start everything and wait until it answers.

    Args:
        folder: Where logs, state and the server's database go.
        ui_port: Port of the Prefect server; a free one when 0.
        model_port: Port of the inference server; a free one when 0.
        store: Root of the tables; `store` in the folder when None.
        model_server: builtin, or pytriton for a real Triton core (`make inference-env` installs it).

    Returns:
        Addresses and process ids, as also kept in `stack.json`.
    """
    state_file = folder / "stack.json"
    if state_file.exists():
        sys.exit(f"error: a stack is recorded in {state_file}. Hint: `make down` stops it.")
    serving, extra = model_command(model_server)
    has_grpc = model_server == "pytriton"
    wanted = [("--port", ui_port), ("--model-port", model_port)]
    if has_grpc and model_port:
        wanted.append(("--model-port", model_port + 1))  # its gRPC port is the one after
    for option, port in wanted:
        if port and _taken(port):
            sys.exit(
                f"error: port {port} is taken. Hint: stop what listens there, or give another {option}; 0 finds one."
            )
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    ui, model = ui_port or free_port(), model_port or free_port()
    api, models = f"http://127.0.0.1:{ui}/api", f"http://127.0.0.1:{model}"
    keys, public = _place("LABELOP_KEYS", folder / "keys"), folder.absolute() / "public-keys"
    ensure_key(keys)
    export_public(keys, public)
    base = {"PREFECT_HOME": str(folder.absolute() / "prefect"), "PYTHONUNBUFFERED": "1"}
    shared = base | {
        "LABELOP_HOME": str(HOME),
        "LABELOP_STORE": store or str(folder.absolute() / "store"),
        "LABELOP_AUDIT_HEADS": str(_place("LABELOP_AUDIT_HEADS", folder / "heads")),
        "PREFECT_API_URL": api,
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "LABELOP_GPU_SLOTS": os.environ.get("LABELOP_GPU_SLOTS", "1"),
        "LABELOP_GPU_SLOTS_FOLDER": str(_place("LABELOP_GPU_SLOTS_FOLDER", folder / "slots")),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    if os.environ.get("LABELOP_AUDIT"):
        shared["LABELOP_AUDIT"] = str(_place("LABELOP_AUDIT", folder))
    pids: dict[str, int] = {}
    born: dict[str, str | None] = {}
    state: dict[str, object] = {"api": api, "models": models, "store": shared["LABELOP_STORE"]}
    state |= {"pids": pids, "born": born}

    def start(name: str, command: list[str], env: dict[str, str]) -> None:
        pids[name] = _start(folder, name, command, env)
        born[name] = _born(pids[name])
        state_file.write_text(json.dumps(state, indent=2))

    print("starting the Prefect server and the inference server", flush=True)
    server = ["server", "start", "--host", "127.0.0.1", "--port", str(ui)]
    waits = {"PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "2"}
    start("server", [_prefect(), *server], child_environment(FAR_END, os.environ, base | waits))
    models_log = folder / "logs/models.log"
    told = models_log.stat().st_size if models_log.exists() else 0
    # the far end gets public keys only, and takes nothing without a release that they verify
    checks = base | extra | {"LABELOP_PUBLIC_KEYS": str(public)}
    ports = ["--port", str(model), *(["--grpc-port", "0"] if has_grpc and not model_port else [])]
    start("models", [*serving, *ports], child_environment(FAR_END, os.environ, checks))
    _wait_for(f"{api}/health", folder / "logs/server.log", pids["server"])
    _wait_for(f"{models}/v2/health/ready", folder / "logs/models.log", pids["models"])
    # a Triton core is ready before it has any model
    _wait_for_line("serving ", models_log, told, pids["models"])
    print("creating pools and deployments", flush=True)
    _deploy(api, child_environment(ONPREM, os.environ, shared))
    print("starting one worker per pool", flush=True)
    for placement, pool in POOLS.items():
        # only the worker with the gate has the private key and knows where the far end is
        gate = {"LABELOP_CLOUD_URL": models, "LABELOP_KEYS": str(keys)} if placement == CLOUD else {}
        env = child_environment(placement, os.environ, shared | gate)
        worker = [_prefect(), "worker", "start", "--pool", pool, "--type", "process", "--name", f"{placement}-worker"]
        start(f"worker-{placement}", worker, env)
    print(f"up: dashboard http://127.0.0.1:{ui}  store {shared['LABELOP_STORE']}  logs {folder / 'logs'}")
    print(f"run a night: PREFECT_API_URL={api} {_prefect()} deployment run nightly/onprem --watch")
    return state


def down(folder: Path) -> None:
    """Stop what `up` started: workers first, since a worker without its server does not stop."""
    state_file = folder / "stack.json"
    if not state_file.exists():
        print("nothing to stop")
        return
    state = json.loads(state_file.read_text())
    pids: dict[str, int] = state["pids"]
    for name in sorted(pids, key=lambda n: not n.startswith("worker")):
        if _born(pids[name]) == state["born"][name]:
            _stop(name, pids[name])
        else:
            # after a restart of the machine the number may be anybody's
            print(f"{name} is not there any more")
    state_file.unlink()


def model_command(model_server: str) -> tuple[list[str], dict[str, str]]:
    """Give the command of an inference server and what its environment needs beside the rest."""
    if model_server == "builtin":
        return [sys.executable, "-m", "labelop.engines.serve"], {}
    python = HOME / "build/inference-venv/bin/python"
    if not python.exists():
        sys.exit("error: the environment of PyTriton is not there. Hint: `make inference-env`.")
    ask = [str(python), "-c", "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))"]
    libraries = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    # its backend loads the Python library it finds first, which must be that of its own Python
    return [str(python), str(HOME / "deployments/inference_server.py")], {
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, [libraries, os.environ.get("LD_LIBRARY_PATH")])),
        "PYTHONPATH": str(HOME),
    }


def _deploy(api: str, environment: dict[str, str]) -> None:
    for pool in POOLS.values():
        _run([_prefect(), "work-pool", "create", pool, "--type", "process", "--overwrite"], environment)
    _run([_prefect(), "--no-prompt", "deploy", "--prefect-file", "deployments/prefect.yaml", "--all"], environment)
    install(api)


def _start(folder: Path, name: str, command: list[str], env: dict[str, str]) -> int:
    with (folder / "logs" / f"{name}.log").open("ab") as log:
        # own session: a signal to the terminal's group does not reach the stack, and a stop reaches all children
        process = subprocess.Popen(  # noqa: S603 - commands are built here, never from input
            command, cwd=HOME, env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
    return process.pid


def _stop(name: str, pid: int) -> None:
    try:
        os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + _STOP_SECONDS
        while time.monotonic() < deadline and _alive(pid):
            time.sleep(0.1)
        os.killpg(pid, signal.SIGKILL)
        while time.monotonic() < deadline + 1.0 and _alive(pid):  # a killed child stays until it is waited for
            time.sleep(0.05)
    except ProcessLookupError:
        pass
    print(f"stopped {name}")


def _alive(pid: int) -> bool:
    try:
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    except ChildProcessError:
        pass  # started by another process
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _born(pid: int) -> str | None:
    """Give when a process started, in clock ticks since the machine did; None when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # the second field is the command in brackets and may hold anything; field 22 of proc(5) is the 20th after it
    return text.rpartition(")")[2].split()[19]


def _run(command: list[str], env: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=HOME, env=env, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        sys.exit(f"error: {' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")


def _wait_for(url: str, log: Path, pid: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and _alive(pid):
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - a loopback address built here
                if _alive(pid):
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    sys.exit(f"error: no server of this stack answers at {url}. Hint: see {log}, then `make down`.")


def _wait_for_line(start: str, log: Path, offset: int, pid: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and _alive(pid):
        if any(line.startswith(start) for line in log.read_bytes()[offset:].decode(errors="replace").splitlines()):
            return
        time.sleep(0.3)
    sys.exit(f"error: the inference server has not begun to serve. Hint: see {log}, then `make down`.")


def _place(setting: str, otherwise: Path) -> Path:
    """Give the place that a setting names, whole: a worker has another working folder than the shell that named it."""
    return Path(os.environ.get(setting) or otherwise).absolute()


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        # as servers do: a port whose last connections are still closing is free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def free_port() -> int:
    """Find a port of loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _beside(command: str) -> str:
    """Find a command of this environment, whatever PATH says."""
    found = shutil.which(command, path=str(Path(sys.executable).parent))
    if found is None:
        sys.exit(f"error: {command} is not installed beside {sys.executable}. Hint: `make setup`.")
    return found


def _prefect() -> str:
    return _beside("prefect")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("action", choices=("up", "down"))
    parser.add_argument("--folder", type=Path, required=True, help="where state, logs and the database go")
    parser.add_argument("--port", type=int, default=4200, help="port of the Prefect server; 0 takes a free one")
    parser.add_argument("--model-port", type=int, default=8700, help="port of the inference server; 0 takes a free one")
    parser.add_argument("--store", help="root of the tables; a folder beside the logs when left out")
    parser.add_argument(
        "--model-server", choices=("builtin", "pytriton"), default="builtin", help="which inference server is started"
    )
    given = parser.parse_args()
    # a shell that runs this in the background ignores the signal, and what is started here would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if given.action == "up":
        ports = {"ui_port": given.port, "model_port": given.model_port}
        up(given.folder, **ports, store=given.store, model_server=given.model_server)
    else:
        down(given.folder)


if __name__ == "__main__":
    main()
