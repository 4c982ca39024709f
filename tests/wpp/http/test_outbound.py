"""What the functions send: to the configured hosts alone, and each secret to its own place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from emulator.faults import Fault
from emulator.stack import WPP_SECRET
from tests.support.callers import CONNECTING
from tests.support.tls_servers import response, sending, serving
from wpp.config import config_from
from wpp.errors import NotConfigured

if TYPE_CHECKING:
    from emulator.web import Received
    from tests.support.ledger import Ledger
    from tests.support.projects import Project

    Everything = tuple[Project, dict[str, list[Received]]]


# Addresses


@pytest.mark.parametrize("name", ["SUPABASE_URL", "WPP_BASE_URL"])
@pytest.mark.parametrize(
    "url",
    ["https://project.supabase.co", "https://10.1.2.3:8443", "http://localhost:54321", "http://127.0.0.1:8000",
     "http://127.0.0.53", "http://[::1]:8000", "http://kong:8000", "http://api-gw:8000", "http://supabase_kong:8000"],
)  # fmt: skip
def test_https_loopback_and_neighbours_on_a_private_network_may_be_called(url: str, name: str) -> None:
    assert url in repr(config_from(_required() | {name: url}))


@pytest.mark.parametrize("name", ["SUPABASE_URL", "WPP_BASE_URL"])
@pytest.mark.parametrize(
    "url",
    ["http://project.supabase.co", "HTTP://project.supabase.co", "http://10.1.2.3", "http://169.254.169.254", "http://127.1.example",
     "http://localhost.example", "http://localhost.", "http://[2001:db8::1]", "http://[fe80::1]", "http://[::ffff:8.8.8.8]",
     "http://[::]", "http://134744072", "http://0x08080808", "http://0", "ftp://kong", "file:///etc/passwd", "kong:8000",
     "//kong", "https://", "https://user:password@kong", "https://user@kong", "https://kong?", "https://kong#", "https://kong?a=b",
     "https://kong\\@evil.example", "https://evil.example\\.supabase.co", "https://ko ng", "https://ko\tng", "https://ko\nng",
     "https://kong:port", "https://kong:99999", "http://kong@8.8.8.8", "http://8.8.8.8#kong", "https://köng.example"],
)  # fmt: skip
def test_no_other_address_may_be_called(url: str, name: str) -> None:
    with pytest.raises(NotConfigured, match=name):
        config_from(_required() | {name: url})


def _required() -> dict[str, str]:
    return {"SUPABASE_URL": "https://a.example", "SUPABASE_SERVICE_ROLE_KEY": "k" * 20, "WPP_SECRET": "s" * 20}


# Redirects


@pytest.mark.parametrize("call", ["auth.user", "rest.GET.profiles", "create", "token", "status", "start", "webhook"])
def test_a_redirect_from_any_upstream_call_reaches_nobody(
    projects: dict[str, Project], call: str, ledger: Ledger
) -> None:
    project = _fresh(projects["HS256"])
    with serving(sending(response(b"{}"))) as elsewhere:
        for server in (project.stack.supabase_server, project.stack.platform_server):
            server.inject(Fault(call=call, status=307, headers={"Location": elsewhere.url + "/"}, times=None))
        try:
            reply = project.victim.create()
        finally:
            project.stack.reset()
        ledger.note("redirect from an upstream", refused=elsewhere.connections == 0, reached=elsewhere.connections)
        assert elsewhere.connections == 0
        assert reply.status_code == (200 if call in ("webhook", "start") else 502)


# Which secret goes where


def _fresh(project: Project) -> Project:
    """The project with a new organization and user, and nothing received yet."""
    from dataclasses import replace

    from tests.support.callers import new_caller

    project.stack.reset()
    project.stack.platform.settings.qr_delay = 0.2
    return replace(project, victim=new_caller(project.stack, project.processes))


def _everything(project: Project) -> None:
    """Creates, shows a QR, connects, replaces a dead key and a dead token, fails: all calls there are."""
    user, platform = project.victim, project.stack.platform
    assert user.create().status_code == 200
    assert user.provision().json()["status"] == "qr_issued"
    platform.revoke_tokens(user.row()["settings"]["wppAccountNumber"])
    assert user.create().status_code == 200
    platform.invalidate_key(user.row()["settings"]["wppAccountNumber"])
    assert user.provision().status_code == 200
    user.scan()
    assert user.provision().json()["status"] == "connected"
    for call in ("status", "rest.GET.profiles"):
        for server in (project.stack.supabase_server, project.stack.platform_server):
            server.inject(Fault(call=call, status=500, times=4))
    assert {user.create().status_code, user.provision().status_code} & {502, 504}
    project.stack.supabase_server.clear_faults()
    project.stack.platform_server.clear_faults()


def _text(received: Received) -> str:
    request = received.request
    headers = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
    return f"{request.method} {request.path}?{request.query}\n{headers}\n{request.body.decode(errors='replace')}"


@pytest.fixture(scope="module")
def everything(projects: dict[str, Project]) -> Everything:
    """The project whose user made every kind of call, and what each system received meanwhile."""
    project = _fresh(projects["HS256"])
    _everything(project)
    systems = {"supabase": project.stack.supabase_server, "platform": project.stack.platform_server}
    return project, {system: list(server.received) for system, server in systems.items()}


def test_each_secret_goes_only_where_it_belongs(everything: Everything) -> None:
    project, sent = everything
    supabase, user = project.stack.supabase, project.victim
    settings = user.row()["settings"]
    seen: dict[str, set[str]] = {}
    secrets = {
        "service key": supabase.service_role_key,
        "anon key": supabase.anon_key,
        "JWT secret": supabase.jwt_secret,
        "WPP_SECRET": WPP_SECRET,
        "user's token": user.token,
        "signature of the user's token": user.token.rsplit(".", 1)[1],
        "platform key": settings["wppApiKey"],
        "platform token": settings["wppJwtToken"],
    }
    drawn = project.stack.platform.sessions[settings["wppAccountNumber"]].qrs.values()
    assert drawn
    secrets |= {f"QR {number}": qr for number, qr in enumerate(drawn)}
    for system, requests in sent.items():
        for received in requests:
            for name, secret in secrets.items():
                if secret in _text(received):
                    seen.setdefault(name, set()).add(f"{system} {received.call}")
    rest = {
        f"supabase rest.{call}"
        for call in ("GET.profiles", "GET.messenger_integrations", "POST.messenger_integrations")
    }
    stored = "supabase rest.PATCH.messenger_integrations"
    assert seen["service key"] <= rest | {stored}
    assert seen["anon key"] == {"supabase auth.user"}
    assert not {name for name in seen if name == "JWT secret" or name.startswith("QR")}
    assert seen["WPP_SECRET"] == {"platform create"}
    assert seen["user's token"] == seen["signature of the user's token"] == {"supabase auth.user"}
    assert seen["platform key"] == {"platform token", stored}
    assert seen["platform token"] <= {f"platform {call}" for call in ("status", "qr", "start", "webhook")} | {stored}


def test_no_secret_stands_in_an_address(everything: Everything) -> None:
    """Addresses end up in the logs of proxies."""
    _, sent = everything
    for received in sent["supabase"] + sent["platform"]:
        address = received.request.path.replace("/auth/token", "") + received.request.query
        assert not re.search(r"eyJ|key_|secret|token=", address)


def test_the_organization_is_not_named_to_the_platform_beyond_its_id(everything: Everything) -> None:
    project, sent = everything
    assert sent["platform"]
    for received in sent["platform"]:
        assert "@example.com" not in _text(received)
        assert project.victim.user_id not in _text(received)


@pytest.mark.parametrize("function", CONNECTING)
def test_only_the_configured_hosts_are_called(function: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every address that the process connects to or looks up, as Python's own audit sees it."""
    from emulator.processes import function_process
    from emulator.stack import Stack

    folder = tmp_path_factory.mktemp("audit")
    log = folder / "log"
    (folder / "sitecustomize.py").write_text(
        "import os, sys\n"
        "def hook(event, args):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo', 'socket.sendto', 'subprocess.Popen', 'os.system'):\n"
        "        with open(os.environ['AUDIT_LOG'], 'a') as f:\n"
        "            print(event, args[1:] if event.startswith('socket.c') else args[:2], file=f)\n"
        "sys.addaudithook(hook)\n"
    )
    from tests.support.callers import new_caller

    with Stack() as stack:
        stack.platform.settings.qr_delay = 0.1
        env = stack.environment() | {"PYTHONPATH": str(folder), "AUDIT_LOG": str(log), "WPP_QR_WAIT_SECONDS": "2"}
        with function_process(function, env) as process:
            process.wait_until_ready()
            caller = new_caller(stack, {function: process})
            assert caller.call(function).status_code == 200
            caller.scan()
            assert caller.call(function).status_code == 200
        ports = {str(stack.supabase_server.port), str(stack.platform_server.port)}
    called = {line for line in log.read_text().splitlines() if "subprocess" not in line or "ldconfig" not in line}
    targets = {port for line in called for port in re.findall(r"'127\.0\.0\.1', (\d+)", line)} - {
        str(process.port),
        "0",
    }
    assert targets == ports
    assert all("127.0.0.1" in line for line in called), called
