"""A server of one's own: what goes there, and how it gets there without a lost request.

    python -m deploy.own_server deploy      HOST=user@server DEST=/srv/wpp-functions; no HOST means this machine

    DEST/releases/20261123T101500-v1.2/     functions/, shared/wpp/, packages/ (what they need), gunicorn.conf.py,
                                            gateway/ (the routes of these functions), …
    DEST/current → releases/…               what serves
    DEST/previous → releases/…              what served before

The new release is first tried beside the old one. Then `current` is switched, the service reloaded, and the version that answers
compared with the one sent. If any of this fails, the old release is put back and answers as before.

SERVICE names what runs the functions there: `docker` (with SUPABASE_DIR, the folder of Supabase's docker-compose.yml),
`systemd` or `process` (a plain gunicorn). RESTART, SERVER_PYTHON and HEALTH_URL replace the commands and address that follow
from it.
"""

from __future__ import annotations

import compileall
import hashlib
import os
import py_compile
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy import bundle

if TYPE_CHECKING:
    from collections.abc import Mapping

_FOLDER = bundle.DIST / "selfhosted"
_PARTS = Path(__file__).parent / "selfhosted"
_SHIPPED = ["gunicorn.conf.py", "trial.py", "reload.sh"]
_EACH = "# For each function:\n"
_COMPOSE = "cd {supabase} && docker compose"


@dataclass(frozen=True)
class Target:
    host: str
    """`user@server`; empty for this machine."""
    dest: str
    python: str
    """The command, for a shell on the server, that runs the Python that serves there."""
    restart: str
    url: str
    patience: int
    """Seconds for which the new version is waited for."""

    def server(self, *arguments: str, quiet: bool = False) -> str:
        """Runs server.sh there; returns what it prints. Raises SystemExit if it fails; it has printed why."""
        script = ["env", f"PYTHON={self.python}", f"RESTART={self.restart}", "sh", "-s", "--", *arguments]
        command = ["ssh", self.host, shlex.join(script)] if self.host else script
        source = (_PARTS / "server.sh").read_text(encoding="utf-8")
        # In a session of its own: Ctrl-C comes to us alone, and the script finishes or undoes what it has begun.
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            try:
                printed, _ = process.communicate(source)
            except KeyboardInterrupt:
                print("interrupted: waiting until the server is in order again", file=sys.stderr, flush=True)
                process.terminate()
                printed, _ = process.communicate()
        if not quiet:
            print(printed, end="", flush=True)
        if process.returncode:
            raise SystemExit(1)
        return printed.strip()

    def run(self, command: str) -> bool:
        """Runs a shell command there; returns whether it succeeded."""
        words = ["ssh", self.host, command] if self.host else ["sh", "-c", command]
        return subprocess.run(words, stdin=subprocess.DEVNULL, check=False).returncode == 0


def target_from(env: Mapping[str, str]) -> Target:
    """Reads the variables above. Raises SystemExit with everything that is missing or wrong."""
    given = {name: value.strip() for name, value in env.items()}
    host, dest = given.get("HOST", ""), given.get("DEST", "").rstrip("/") or given.get("DEST", "")
    service, supabase = given.get("SERVICE", "") or "docker", given.get("SUPABASE_DIR", "")
    problems = []
    if not re.fullmatch(r"[A-Za-z0-9._/-]+", dest):
        problems.append("DEST must be the folder on the server, for example DEST=/srv/wpp-functions")
    if host and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._@-]*", host):
        problems.append("HOST must be like user@server; a port goes into ~/.ssh/config")
    compose = _COMPOSE.format(supabase=shlex.quote(supabase))
    known = {
        "docker": (
            f"{compose} run --rm -T --no-deps wpp-functions python",
            # Not `docker compose kill -s HUP`: to Docker that is a stop by hand, after which it restarts the container no more.
            f"{compose} up -d wpp-functions && docker compose exec -T wpp-functions sh -c 'kill -HUP 1'",
        ),
        "systemd": ("python3", "sudo systemctl reload-or-restart wpp-functions"),
        "process": ("python3", f"sh {dest}/current/reload.sh"),
    }
    if service not in known:
        problems.append(f"SERVICE must be one of {', '.join(known)}")
    if service == "docker" and not supabase:
        problems.append("SUPABASE_DIR must be the folder on the server with Supabase's docker-compose.yml")
    wait = given.get("WAIT", "") or "60"
    if not (wait.isascii() and wait.isdigit()):
        problems.append("WAIT must be a number of seconds")
    if problems:
        raise SystemExit("\n".join(problems))
    python, restart = known[service]
    return Target(
        host,
        dest,
        given.get("SERVER_PYTHON", "") or python,
        given.get("RESTART", "") or restart,
        given.get("HEALTH_URL", "") or "http://127.0.0.1:9100/healthz",
        int(wait),
    )


def build(python_version: str, machine: str, folder: Path = _FOLDER) -> Path:
    """The release for a server with this Python ("3.13") and processor ("x86_64"), packages included."""
    bundle.empty_folder(folder)
    for name in bundle.function_names():
        bundle.copy_function(name, folder / "functions" / name)
    bundle.copy_package(folder / "shared")
    for name in _SHIPPED:
        shutil.copy(_PARTS / name, folder)
    (folder / "gateway").mkdir()
    for name, text in gateway_files().items():
        (folder / "gateway" / name).write_text(text, encoding="utf-8")
    (folder / "VERSION").write_text(bundle.version() + "\n", encoding="utf-8")
    shutil.copy(bundle.lock("server"), folder / "requirements.txt")
    shutil.copytree(_packages(python_version, machine), folder / "packages", ignore=shutil.ignore_patterns("bin"))
    # The same file has the same time in every release, so rsync sends and stores again only what has changed.
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (1_000_000_000, 1_000_000_000))
    return folder


def gateway_files() -> dict[str, str]:
    """By name, what goes into the configuration of the gateway: what follows the line `_EACH`, once for each function."""
    files = {}
    for path in (_PARTS / "gateway").iterdir():
        once, _, each = path.read_text(encoding="utf-8").partition(_EACH)
        names = map(bundle.address, bundle.function_names())
        files[path.name] = once + "".join(each.replace("FUNCTION", name) for name in names)
    return files


def _packages(python_version: str, machine: str) -> Path:
    """What the server needs installed. Kept between deployments, most of which change the functions alone."""
    lock = bundle.lock("server")
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:8]
    folder = bundle.DIST / f"packages/{python_version}-{machine}-{digest}"
    if not folder.is_dir():
        unfinished = bundle.empty_folder(folder.with_name("unfinished"))
        # Those of the oldest Linux still around: Debian 10 and RHEL 8 have this C library.
        platforms = [f"{name}_{machine}" for name in ("manylinux_2_28", "manylinux_2_17", "manylinux2014")]
        bundle.install(lock, unfinished, python_version, platforms)
        if python_version == f"{sys.version_info.major}.{sys.version_info.minor}":
            # Otherwise the trial of each release compiles them all. A release never changes, so sources are not compared.
            unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
            compileall.compile_dir(
                unfinished, stripdir=unfinished, prependdir="packages", quiet=1, invalidation_mode=unchecked
            )
        unfinished.rename(folder)
    return folder


def deploy(target: Target) -> None:
    *version, machine = target.server("check", target.dest, quiet=True).splitlines()[-1].split()
    folder = build(".".join(version), machine)
    name = (folder / "VERSION").read_text(encoding="utf-8").strip()
    release = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{name}"
    print(f"{name} for Python {'.'.join(version)} on {machine}, to {target.host or 'this machine'}:{target.dest}")

    _send(folder, target, release)
    if not target.run(f"{target.python} {target.dest}/releases/{release}/trial.py"):
        target.server("discard", target.dest, release)
        raise SystemExit("NOT DEPLOYED; nothing was switched, and what served before still does")
    target.server("activate", target.dest, release, target.url, str(target.patience))
    print(f"version {name} answers at {target.url}")


def _send(folder: Path, target: Target, release: str) -> None:
    """Sends into a new folder, so that --delete reaches nothing else. Unchanged files are links to the release before."""
    serving = target.server("latest", target.dest, quiet=True)
    link = [f"--link-dest=../{serving}"] if serving else []
    there = f"{target.host}:{target.dest}" if target.host else target.dest
    rsync = [
        "rsync",
        "-rlptz",
        "--checksum",
        "--delete",
        "--chmod=D755,F644",
        *link,
        f"{folder}/",
        f"{there}/releases/{release}/",
    ]
    if subprocess.run(rsync, check=False).returncode:
        raise SystemExit("NOT DEPLOYED: rsync failed; what served before still does")


def main() -> None:
    if sys.argv[1:] != ["deploy"]:
        raise SystemExit("usage: python -m deploy.own_server deploy")
    deploy(target_from(os.environ))


if __name__ == "__main__":
    main()
