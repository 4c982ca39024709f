"""The local stack as a person has it in a terminal, and as a script has it: processes, their output, their exit status."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest
import requests

from emulator.processes import ROOT
from tests.support.servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

pytestmark = pytest.mark.slow
STACK = [sys.executable, "-m", "emulator"]
CLEAN = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "TERM": "xterm", "LANG": "C.UTF-8"}
OF_VERSION = f'exec {sys.executable} -c "import sys; sys.version_info = (3, {{}}, 1); $2"'
HELLO = "def hello(request):\n    return {'answer': 'one'}\n"


class Terminal:
    """A process that has a terminal to itself, as a shell would start it."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self.shown = ""
        self._own, its = pty.openpty()
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdin=its, stdout=its, stderr=its, start_new_session=True
        )
        os.close(its)

    def read_until(self, pattern: str) -> re.Match[str]:
        give_up = time.monotonic() + 60
        while time.monotonic() < give_up:
            found = re.search(pattern, self.shown)
            if found:
                return found
            if select.select([self._own], [], [], 0.1)[0]:
                try:
                    self.shown += os.read(self._own, 65536).decode(errors="replace")
                except OSError:  # the other end is closed
                    break
        raise AssertionError(f"{pattern!r} is not in:\n{self.shown}")

    def hang_up(self) -> None:
        """As when a person closes the window."""
        if self._own >= 0:
            os.close(self._own)
            self._own = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(60)
        self.hang_up()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "functions", tmp_path, dirs_exist_ok=True)
    (tmp_path / "hello").mkdir()
    (tmp_path / "hello/main.py").write_text(HELLO)
    return tmp_path


@pytest.fixture
def terminal(folder: Path) -> Iterator[Terminal]:
    marked = {"FUNCTIONS_DIR": str(folder), "WPP_MARK": str(folder)}  # the server has it in its environment too
    with Terminal([*STACK, "run", "--port", "0"], CLEAN | marked) as opened:
        yield opened


def processes_with(text: str) -> list[str]:
    """Those that have `text` in their environment, whoever started them."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it has ended
            if text.encode() in environ.read_bytes():
                found.append(environ.parent.name)
    return found


def is_server(pid: str) -> bool:
    """Whether it is gunicorn's first process: the leader of its group."""
    return b"gunicorn" in Path(f"/proc/{pid}/cmdline").read_bytes() and os.getpgid(int(pid)) == int(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="the processes are looked for in /proc")
def test_run_says_what_is_where_picks_up_changes_and_ends_with_ctrl_c(terminal: Terminal, folder: Path) -> None:
    url = terminal.read_until(r"hello\S* +(http://127.0.0.1:\d+/functions/v1/hello)")[1]
    terminal.read_until("Ctrl-C ends it all")
    assert "demo@example.com, password password" in terminal.shown
    assert "\x1b[1m" in terminal.shown

    main = folder / "hello/main.py"
    main.write_text("def hello(request:\n")
    assert terminal.read_until(r"error:\S* (.*)")[1].startswith(f"{main}:1 SyntaxError: ")
    assert requests.post(url, timeout=10).json() == {"answer": "one"}
    main.write_text(HELLO.replace("one", "two"))
    terminal.read_until("reloaded: .*hello/main.py")
    wait_for(lambda: requests.post(url, timeout=10).json() == {"answer": "two"})
    requests.post(url.replace("hello", "wpp-create"), timeout=10)
    terminal.read_until(r"wpp-create +\S*401\S* .*missing_authorization .*[0-9a-f]{32}\S*\r\n")

    (folder / "boom").mkdir()
    (folder / "boom/main.py").write_text("def boom(request):\n    return 1 / 0\n")
    terminal.read_until("reloaded: .*boom/main.py")
    wait_for(lambda: requests.post(url.replace("hello", "boom"), timeout=10).status_code == 500)
    terminal.read_until(rf"boom .*ZeroDivisionError at {re.escape(str(folder))}/boom/main.py:2")

    # Ended by a hand from outside, while the code as it is now cannot be loaded: what served before goes on serving.
    main.write_text("def hello(request:\n")
    (server,) = [pid for pid in processes_with(str(folder)) if is_server(pid)]
    os.killpg(int(server), signal.SIGKILL)
    terminal.read_until("started again")
    wait_for(lambda: requests.post(url, timeout=10).json() == {"answer": "two"})

    assert len(processes_with(str(folder))) >= 3  # the stack, gunicorn, its worker
    os.killpg(terminal.process.pid, signal.SIGINT)
    assert terminal.process.wait(60) == 0
    assert processes_with(str(folder)) == []
    assert "Traceback" not in terminal.shown


def test_code_that_is_broken_at_the_start_is_one_line_and_a_hanging_trial_ends_with_the_rest(
    terminal: Terminal, folder: Path
) -> None:
    (folder / "hello/main.py").write_text("def hello(request:\n")
    as_by_make = ["sh", "-c", '"$@"; exit 0', "make", *STACK, "run", "--port", "0"]
    env = CLEAN | {"FUNCTIONS_DIR": f"{folder}/.", "MAKELEVEL": "1"}
    with Terminal(as_by_make, env) as broken:
        broken.read_until(rf"error:\S* {re.escape(str(folder))}/hello/main.py:1 SyntaxError.*not served")
        broken.read_until("Ctrl-C ends it all")
        assert processes_with(env["FUNCTIONS_DIR"])
        broken.process.kill()  # `make` alone: the stack notices
        wait_for(lambda: not processes_with(env["FUNCTIONS_DIR"]))

    terminal.read_until("Ctrl-C ends it all")
    (folder / "hello/main.py").write_text("import time\ntime.sleep(60)\n")
    time.sleep(1)
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.process.wait(30) == 128 + signal.SIGTERM


def test_run_ends_with_its_terminal() -> None:
    with Terminal([*STACK, "run", "--port", "0"], CLEAN) as opened:
        opened.read_until("Ctrl-C ends it all")
        opened.hang_up()
        assert opened.process.wait(60) == 128 + signal.SIGHUP


def test_run_ends_with_a_terminal_that_closes_while_it_starts(folder: Path) -> None:
    (folder / "hello/main.py").write_text("def hello(request:\n")
    with Terminal([*STACK, "run", "--port", "0"], CLEAN | {"FUNCTIONS_DIR": str(folder)}) as opened:
        opened.read_until("SyntaxError")  # the addresses are printed after this, to nobody
        opened.hang_up()
        assert opened.process.wait(60) == 128 + signal.SIGHUP


def test_printing_to_a_closed_terminal_changes_no_exit_status() -> None:
    script = (
        "import os, time\nfrom emulator.terminal import say\nsay('up')\n"
        "while os.isatty(1):\n    time.sleep(0.01)\nsay('lost')\nexit(7)\n"
    )
    with Terminal([sys.executable, "-c", script], CLEAN) as opened:
        opened.read_until("up")
        opened.hang_up()
        assert opened.process.wait(60) == 7


def test_run_says_in_one_line_which_settings_it_lacks() -> None:
    env = CLEAN | {"SUPABASE_URL": "https://a.example"}
    command = [*STACK, "run", "--port", "0"]
    ran = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert "SUPABASE_SERVICE_ROLE_KEY is missing; WPP_SECRET is missing" in ran.stderr


def test_the_demo_ends_connected_and_has_no_colours_where_nobody_sees_them() -> None:
    # As on macOS, whose Python lacks these.
    bare = (
        "import os, runpy, select\ndel os.sched_getaffinity, os.pidfd_open, os.memfd_create, os.eventfd, select.epoll\n"
    )
    demo = [sys.executable, "-c", f"{bare}runpy.run_module('emulator', run_name='__main__')", "demo"]
    ran = subprocess.run(demo, cwd=ROOT, env=CLEAN, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.endswith("wpp-create: connected\n")
    assert "▀" in ran.stdout
    assert "\x1b" not in ran.stdout


def test_exec_gives_a_command_the_whole_stack_and_hands_its_status_on(tmp_path: Path) -> None:
    script = (
        "import os, requests, subprocess, sys\n"
        "bearer = {'Authorization': 'Bearer ' + os.environ['USER_ACCESS_TOKEN']}\n"
        "print(requests.post(os.environ['FUNCTIONS_URL'] + '/wpp-create', headers=bearer).json()['status'], flush=True)\n"
        "status = subprocess.run([sys.executable, '-m', 'wpp', 'status', os.environ['ORGANIZATION_ID']])\n"
        "print(os.environ['SUPABASE_URL'])\n"
        "sys.exit(7 + status.returncode)\n"
    )
    ran = subprocess.run(
        [*STACK, "exec", "--", sys.executable, "-c", script], cwd=ROOT, env=CLEAN, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (7, "")
    assert ran.stdout.startswith("starting\n")
    assert re.search(r"\nstatus: (starting|qr_required)\n", ran.stdout)
    with pytest.raises(requests.ConnectionError):
        requests.get(ran.stdout.splitlines()[-1], timeout=5)
    missing = subprocess.run([*STACK, "exec", "no-such-command"], cwd=ROOT, env=CLEAN, capture_output=True, check=False)
    assert (missing.returncode, missing.stderr) == (127, b"error: no-such-command is not found\n")
    nobody = tmp_path / "script"
    nobody.write_text("#!/no/such/interpreter\n")
    nobody.chmod(0o755)
    broken = subprocess.run([*STACK, "exec", str(nobody)], cwd=ROOT, env=CLEAN, capture_output=True, check=False)
    assert (broken.returncode, broken.stderr.count(b"\n")) == (126, 1)
    assert b"cannot be executed" in broken.stderr


def test_exec_waits_for_its_command_when_both_are_interrupted() -> None:
    script = "import signal, time\ntry:\n    print('up', flush=True)\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    exit(9)"
    command = [*STACK, "exec", "--", sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=ROOT, env=CLEAN, stdout=subprocess.PIPE, start_new_session=True) as both:
        assert both.stdout is not None
        assert both.stdout.readline() == b"up\n"
        os.killpg(both.pid, signal.SIGINT)
        assert both.wait(60) == 9


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        command = [*STACK, "run", "--port", str(port)]
        ran = subprocess.run(command, cwd=ROOT, env=CLEAN, capture_output=True, text=True, timeout=30, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert ran.stderr.startswith(f"error: port {port} is in use, perhaps by another `make run` or by the Supabase CLI")


@pytest.mark.parametrize("port", ["-1", "65530", "many"])
def test_a_port_that_cannot_be_is_one_line(port: str) -> None:
    command = [*STACK, "run", f"--port={port}"]
    ran = subprocess.run(command, cwd=ROOT, env=CLEAN, capture_output=True, text=True, timeout=30, check=False)
    assert (ran.returncode, "Traceback" in ran.stderr) == (2, False)
    assert f"{port}" in ran.stderr.splitlines()[-1]


def test_what_an_install_lacks_is_one_line(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    nobody = {"PIP_INDEX_URL": "http://127.0.0.1:1/simple", "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "1"}

    def failed(*arguments: str) -> str:
        command = ["make", "run", *arguments]
        ran = subprocess.run(
            command, cwd=tmp_path, env=CLEAN | nobody, capture_output=True, text=True, timeout=60, check=False
        )
        first, _, last = ran.stderr.partition("\n")
        assert (ran.returncode, last.startswith("make: ***"), last.count("\n")) == (2, True, 1)
        return first

    missing = failed("PYTHON=no-such-python")
    assert missing.startswith("error: 'no-such-python' was not found")
    assert missing.endswith(": make run PYTHON=/path/to/python3.12")
    old = tmp_path / "python3.8"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.8.1 || exit 1\n')
    old.chmod(0o755)
    assert failed(f"PYTHON={old}").startswith("error: Python 3.8.1 is too old")
    bare = tmp_path / "python3.12"
    bare.write_text('#!/bin/sh\ncase "$2" in *ensurepip*) exit 1 ;; *print*) echo python3.12-venv ;; esac\n')
    bare.chmod(0o755)
    assert failed(f"PYTHON={bare}").endswith("comes without venv; on Debian and Ubuntu: apt install python3.12-venv")
    # A venv without ensurepip, which takes seconds, and the pip of the tests in it.
    quick = tmp_path / "python3.13"
    venv = f'{sys.executable} -m venv --without-pip "$3" "$4" && cp {tmp_path}/pip .venv/bin/'
    quick.write_text(f'#!/bin/sh\ncase "$2" in venv) {venv} ;; *) exec {sys.executable} "$@" ;; esac\n')
    quick.chmod(0o755)
    (tmp_path / "pip").write_text(f'#!/bin/sh\nexec {sys.executable} -m pip --python .venv/bin/python "$@"\n')
    (tmp_path / "pip").chmod(0o755)
    assert failed(f"PYTHON={quick}").startswith("error: pip cannot reach a package index")


@pytest.mark.parametrize(
    ("pythons", "chosen"),
    [
        (
            {"python3.14": "exit 127", "python3.13": "exit 0", "python3.12": "exit 0"},
            "python3.13",
        ),  # pyenv's shims exit 127
        ({"python3": "exit 0"}, "python3"),
        (
            {"python3.12": 'case "$2" in *venv*) exit 1 ;; esac', "python3": "exit 1"},
            "python3.12",
        ),  # reported for lacking venv
        ({}, "python3"),
        (
            {
                "python3.13": OF_VERSION.format(15),
                "python3.12": OF_VERSION.format(10),
                "python3": OF_VERSION.format(11),
            },
            "python3",
        ),
        ({"python3.14": OF_VERSION.format(14), "python3": OF_VERSION.format(11)}, "python3.14"),
    ],
)
def test_the_newest_python_that_fits_is_found(tmp_path: Path, pythons: dict[str, str], chosen: str) -> None:
    for name in ("python3.14", "python3.13", "python3.12", "python3.11", "python3"):
        (tmp_path / name).write_text(f"#!/bin/sh\n{pythons.get(name, 'exit 1')}\n")
        (tmp_path / name).chmod(0o755)
    assert f'"{chosen}" -m venv --clear .venv\n' in planned(tmp_path, PATH=f"{tmp_path}:{os.environ['PATH']}")


def test_a_venv_is_made_anew_once_it_was_moved_or_is_to_have_another_python(tmp_path: Path) -> None:
    bin_, stamp = tmp_path / ".venv/bin", tmp_path / ".venv/.run"
    bin_.mkdir(parents=True)
    (bin_ / "python").symlink_to(sys.executable)
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    assert " -m venv --clear .venv\n" in planned(tmp_path)  # not finished
    stamp.write_text(f"{tmp_path}\n")
    assert "up to date" in planned(tmp_path)
    assert "up to date" in planned(tmp_path, f"PYTHON={sys.executable}")
    assert '"no-such-python" -m venv --clear .venv\n' in planned(tmp_path, "PYTHON=no-such-python")
    stamp.write_text("/where/it/was\n")
    assert " -m venv --clear .venv\n" in planned(tmp_path)
    stamp.write_text(f"{tmp_path}\n")
    (bin_ / "python").unlink()
    (bin_ / "python").symlink_to("/no/longer/there")
    assert " -m venv --clear .venv\n" in planned(tmp_path)


def planned(folder: Path, *arguments: str, **env: str) -> str:
    """What make would do for .venv in `folder`."""
    (folder / "requirements.lock").touch()
    os.utime(folder / "requirements.lock", (0, 0))
    command = ["make", "-n", "-f", str(ROOT / "Makefile"), ".venv/.run", *arguments]
    ran = subprocess.run(command, cwd=folder, env=CLEAN | env, capture_output=True, text=True, timeout=30, check=True)
    return ran.stdout


def test_a_guarded_server_ends_with_its_starter_even_when_that_is_killed(tmp_path: Path) -> None:
    server = (
        "import os, signal, subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(100)'])\n"
        "os.kill(int(os.environ['STARTER']), signal.SIGKILL)\n"
        "time.sleep(100)\n"
    )
    starter = (
        "import os, sys, time\nfrom pathlib import Path\nfrom emulator.processes import FunctionProcess\n"
        "env = {'STARTER': str(os.getpid())}\n"
        "FunctionProcess(['-c', sys.argv[1]], env, 1, show=True, guarded=Path(sys.argv[2]))\ntime.sleep(100)\n"
    )
    (tmp_path / "copies").mkdir()
    reading, writing = os.pipe()
    command = [sys.executable, "-c", starter, server, str(tmp_path / "copies")]
    ran = subprocess.run(command, env=CLEAN, stdout=writing, timeout=30, check=False)
    os.close(writing)
    assert ran.returncode == -signal.SIGKILL
    assert select.select([reading], [], [], 20)[0]  # its end: nobody is left who could write
    assert os.read(reading, 1) == b""
    os.close(reading)
    assert not (tmp_path / "copies").exists()
