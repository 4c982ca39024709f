"""No forged, foreign, odd or broken token comes in: each is refused with 401 before anything is asked of anybody."""

from __future__ import annotations

import http.client
import json
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.support.attacks import attacks
from tests.support.callers import CREATE, PROVISION
from tests.support.forging import Forge
from wpp.clock import Clock, Deadline
from wpp.config import settings_from
from wpp.errors import InvalidToken
from wpp.http.messages import Response
from wpp.http.transport import Transport
from wpp.http.upstream import Upstream
from wpp.supabase.caller import CallerCheck
from wpp.supabase.signing_keys import SigningKeys

if TYPE_CHECKING:
    from tests.support.projects import Ledger, Project

BOTH = [CREATE, PROVISION]
ALGORITHMS = ["HS256", "ES256", "RS256"]
ATTACKS = attacks()
KINDS = list(dict.fromkeys(attack.kind for attack in ATTACKS))


@pytest.fixture(params=ALGORITHMS)
def project(request: pytest.FixtureRequest, projects: dict[str, Project]) -> Project:
    found = projects[request.param]
    found.stack.reset()
    found.stack.platform.settings.qr_delay = 0
    return found


def post(project: Project, function: str, **headers: str | bytes) -> requests.Response:
    sent = {name.replace("_", "-"): v if isinstance(v, bytes) else v.encode() for name, v in headers.items()}
    return requests.post(project.processes[function].url, headers=sent, timeout=20)


@pytest.mark.parametrize("function", BOTH)
def test_the_same_token_without_an_attack_on_it_comes_in(project: Project, function: str) -> None:
    assert post(project, function, Authorization="Bearer " + Forge(project).own()).status_code == 200
    assert {"auth.user", "rest.GET.profiles"} <= set(project.received())


@pytest.mark.parametrize("function", BOTH)
@pytest.mark.parametrize("kind", KINDS)
def test_every_attack_is_refused_and_costs_no_network(
    project: Project, function: str, kind: str, ledger: Ledger
) -> None:
    """All attacks of a kind over one connection: with one of its own for each, they would take most of the tests' time."""
    forge = Forge(project)
    came_in = []
    with closing(http.client.HTTPConnection("127.0.0.1", project.processes[function].port, timeout=20)) as connection:
        for attack in (attack for attack in ATTACKS if attack.kind == kind):
            token = attack.make(forge)
            project.forget()

            connection.request("POST", "/", headers={"Authorization": f"Bearer {token}".encode()})
            answer = connection.getresponse()
            code = json.loads(answer.read()).get("code")

            received = project.received()
            ledger.note(kind, refused=answer.status == 401, reached=len(received))
            if (answer.status, code) != (401, "invalid_token") or received:
                came_in.append(f"{attack}: answered {answer.status}, code {code}, asked upstream for {received}")
    if came_in:
        pytest.fail("\n".join(came_in), pytrace=False)


@pytest.mark.parametrize("function", BOTH)
@pytest.mark.parametrize(
    "where", ["apikey", "X-Authorization", "Proxy-Authorization", "Cookie", "query", "body", "no header"]
)
def test_a_token_counts_only_in_its_own_header(
    projects: dict[str, Project], function: str, where: str, ledger: Ledger
) -> None:
    project = projects["HS256"]
    token, url = project.victim.token, project.processes[function].url
    project.forget()
    if where == "query":
        answer = requests.post(f"{url}?access_token={token}&token={token}&Authorization=Bearer%20{token}", timeout=20)
    elif where == "body":
        answer = requests.post(url, json={"access_token": token, "Authorization": f"Bearer {token}"}, timeout=20)
    else:
        value = f"sb-access-token={token}; access_token={token}" if where == "Cookie" else f"Bearer {token}"
        answer = requests.post(url, headers={} if where == "no header" else {where: value}, timeout=20)
    refused = (answer.status_code, answer.json()["code"]) == (401, "missing_authorization")
    ledger.note("token in another place", refused=refused, reached=len(project.received()))
    assert refused
    assert project.received() == []


@pytest.mark.parametrize("function", BOTH)
@pytest.mark.parametrize(
    "form",
    ["{0}", "Bearer{0}", "Bearer", "Bearer Bearer {0}", "Basic {0}", "Token {0}", "JWT {0}", "bearer: {0}", "Bearer={0}",
     "Bearer {0} x", "Bearer {0}, Bearer {0}", "Bearer {0};", "Bearer '{0}'", "x Bearer {0}", "Bearer\xa0{0}", "\xffearer {0}",
     "Bearer {0},", "Bearer ,{0}", "Bearer {0}\x85"],
)  # fmt: skip
def test_a_good_token_in_another_form_of_header_is_refused(
    projects: dict[str, Project], function: str, form: str, ledger: Ledger
) -> None:
    project = projects["HS256"]
    project.forget()
    answer = post(project, function, Authorization=form.format(project.victim.token).encode("latin-1"))
    ledger.note("odd Authorization header", refused=answer.status_code == 401, reached=len(project.received()))
    assert answer.status_code == 401
    assert project.received() == []


@pytest.mark.parametrize("function", BOTH)
@pytest.mark.parametrize("second", ["Bearer {0}", "Basic x", "x", "", ","])
def test_two_authorization_headers_are_none(
    projects: dict[str, Project], function: str, second: str, ledger: Ledger
) -> None:
    project = projects["HS256"]
    token, process = project.victim.token, project.processes[function]
    project.forget()
    for pair in ((f"Bearer {token}", second.format(token)), (second.format(token), f"Bearer {token}")):
        connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=20)
        connection.putrequest("POST", "/")
        for value in pair:
            connection.putheader("Authorization", value)
        connection.putheader("Content-Length", "0")
        connection.endheaders()
        status = connection.getresponse().status
        connection.close()
        ledger.note("two Authorization headers", refused=status in (400, 401), reached=len(project.received()))
        assert status in (400, 401)
    assert project.received() == []


@pytest.mark.parametrize("function", BOTH)
@pytest.mark.parametrize("size", [8_001, 8_100, 9_000, 60_000, 1_000_000])
def test_a_huge_token_is_refused(projects: dict[str, Project], function: str, size: int, ledger: Ledger) -> None:
    """By us, or before us: gunicorn takes no header line over 8,190 bytes and closes the connection."""
    project = projects["HS256"]
    project.forget()
    try:
        status = post(project, function, Authorization="Bearer e30.e30." + "A" * (size - 8)).status_code
    except requests.ConnectionError:
        status = 400  # cut off while still sending
    ledger.note("huge token", refused=status in (400, 401, 431), reached=len(project.received()))
    assert status == 401 if size < 8_150 else status in (400, 431)
    assert project.received() == []


def test_a_huge_token_is_refused_where_the_server_lets_it_through(projects: dict[str, Project]) -> None:
    check, upstream = _check(projects["ES256"], [])
    for token in ("A" * 10_000_000, "." * 10_000_000, "e30.e30." + "A" * 10_000_000):
        began = time.monotonic()
        with pytest.raises(InvalidToken, match="Unauthorized"):
            check.user_id(token, upstream)
        assert time.monotonic() - began < 0.1


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
@pytest.mark.parametrize(
    "changed",
    [{"use": "enc"}, {"key_ops": ["encrypt"]}, {"key_ops": []}, {"key_ops": "verify"}, {"key_ops": None}, {"alg": "ES384"},
     {"alg": "RS512"}, {"alg": "HS256"}, {"alg": None}, {"kty": "oct", "k": "c2VjcmV0"}, {"kty": None}, {"kty": "OKP"},
     {"use": ["sig"]}],
)  # fmt: skip
def test_a_published_key_for_something_else_verifies_nothing(
    projects: dict[str, Project], algorithm: str, changed: dict[str, Any]
) -> None:
    project = projects[algorithm]
    public = project.stack.supabase.auth.signing_key(algorithm).public()
    check, upstream = _check(project, [public])
    assert check.user_id(project.victim.token, upstream) == project.victim.user_id
    check, upstream = _check(project, [public | changed])
    with pytest.raises(InvalidToken):
        check.user_id(project.victim.token, upstream)


@pytest.mark.parametrize("crv", ["P-384", "P-521", "secp256k1", "Ed25519", None])
def test_a_published_key_on_another_curve_verifies_nothing(projects: dict[str, Project], crv: str | None) -> None:
    project = projects["ES256"]
    check, upstream = _check(project, [project.stack.supabase.auth.signing_key("ES256").public() | {"crv": crv}])
    with pytest.raises(InvalidToken, match="Unauthorized") as caught:
        check.user_id(project.victim.token, upstream)
    assert caught.value.reason == "the key is for another algorithm or use"


@pytest.mark.parametrize(
    ("secret", "part_of_it"),
    [('{"a": "guess", "b": "another"}', "guess"), ('["guess", "another one"]', "guess"), ('"quoted-secret-of-a-project"', ...),
     ('{"keys": ["guess", "another"]}', "guess"), ('{"kty": "oct", "k": "Z3Vlc3M", "x": 1}', "guess")],
)  # fmt: skip
def test_a_secret_that_looks_like_json_is_still_one_secret(
    projects: dict[str, Project], secret: str, part_of_it: Any
) -> None:
    """python-jose reads a key as JSON first, and would take each value in it for a key."""
    project = projects["HS256"]
    check, upstream = _check(project, [], SUPABASE_JWT_SECRET=secret)
    forge = Forge(project)
    assert check.user_id(forge.hmac(secret.encode()), upstream) == project.victim.user_id
    wrong = secret.strip('"') if part_of_it is ... else part_of_it
    with pytest.raises(InvalidToken):
        check.user_id(forge.hmac(wrong.encode()), upstream)


def _check(project: Project, keys: list[dict[str, Any]], **env: str) -> tuple[CallerCheck, Upstream]:
    """The check of a project that publishes these keys, in this process."""
    settings = settings_from(project.stack.environment() | env)
    clock = Clock()
    upstream = Upstream(_Published(keys), Deadline(5, clock), clock, "test")
    return CallerCheck(settings, SigningKeys(settings.supabase_url, clock)), upstream


class _Published(Transport):
    def __init__(self, keys: list[dict[str, Any]]) -> None:
        self._body = json.dumps({"keys": keys}).encode()

    def exchange(self, method: str, url: str, *_: Any, **__: Any) -> Response:
        assert url.endswith("/auth/v1/.well-known/jwks.json")
        return Response(200, {}, self._body)
