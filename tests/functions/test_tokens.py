"""No forged, foreign, odd or broken token comes in: each is refused with 401 before anything is asked of anybody.

All functions check tokens with the same code, so `wpp_create` stands for them. The others meet every attack in one kind of
project, which shows that they check at all.
"""

from __future__ import annotations

import http.client
import json
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import requests

from emulator.faults import Fault
from tests.support.attacks import attacks
from tests.support.callers import CREATE, FUNCTIONS
from tests.support.forging import Forge
from wpp.config import config_from
from wpp.errors import InvalidToken
from wpp.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.ledger import Ledger
    from tests.support.projects import Project

ALGORITHMS = ["HS256", "ES256", "RS256"]
TARGETS = [(CREATE, algorithm) for algorithm in ALGORITHMS]
TARGETS += [(function, "ES256") for function in FUNCTIONS if function != CREATE]
ATTACKS = attacks()
KINDS = list(dict.fromkeys(attack.kind for attack in ATTACKS))


@pytest.fixture(autouse=True)
def _reset(projects: dict[str, Project]) -> Iterator[None]:
    stack = projects["HS256"].stack
    stack.reset()
    stack.platform.settings.qr_delay = 0
    yield
    stack.reset()


def post(project: Project, function: str, **headers: str | bytes) -> requests.Response:
    sent = {name.replace("_", "-"): v if isinstance(v, bytes) else v.encode() for name, v in headers.items()}
    return requests.post(project.processes[function].url, headers=sent, timeout=20)


@pytest.mark.parametrize(("function", "algorithm"), TARGETS)
def test_the_same_token_without_an_attack_on_it_comes_in(
    projects: dict[str, Project], function: str, algorithm: str
) -> None:
    project = projects[algorithm]
    token = "Bearer " + Forge(project).own()
    post(project, CREATE, Authorization=token)  # so that there is what the others ask for
    project.forget()
    assert post(project, function, Authorization=token).status_code == 200
    assert {"auth.user", "rest.GET.profiles"} <= set(project.received())


@pytest.mark.parametrize(("function", "algorithm"), TARGETS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_attack_is_refused_and_costs_no_network(
    projects: dict[str, Project], function: str, algorithm: str, kind: str, ledger: Ledger
) -> None:
    """All attacks of a kind over one connection: with one of its own for each, they would take most of the tests' time."""
    project = projects[algorithm]
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


@pytest.mark.parametrize("where", ["apikey", "X-Authorization", "Proxy-Authorization", "Cookie", "query", "body"])
def test_a_token_counts_only_in_its_own_header(projects: dict[str, Project], where: str, ledger: Ledger) -> None:
    project = projects["HS256"]
    token, url = project.victim.token, project.processes[CREATE].url
    project.forget()
    if where == "query":
        answer = requests.post(f"{url}?access_token={token}&token={token}&Authorization=Bearer%20{token}", timeout=20)
    elif where == "body":
        answer = requests.post(url, json={"access_token": token, "Authorization": f"Bearer {token}"}, timeout=20)
    else:
        value = f"sb-access-token={token}; access_token={token}" if where == "Cookie" else f"Bearer {token}"
        answer = requests.post(url, headers={where: value}, timeout=20)
    refused = (answer.status_code, answer.json()["code"]) == (401, "missing_authorization")
    ledger.note("token in another place", refused=refused, reached=len(project.received()))
    assert refused
    assert project.received() == []


@pytest.mark.parametrize(
    "form",
    ["{0}", "Bearer{0}", "Bearer", "Bearer Bearer {0}", "Basic {0}", "Token {0}", "JWT {0}", "bearer: {0}", "Bearer={0}",
     "Bearer {0} x", "Bearer {0}, Bearer {0}", "Bearer {0};", "Bearer '{0}'", "x Bearer {0}", "Bearer\xa0{0}", "\xffearer {0}",
     "Bearer {0},", "Bearer ,{0}", "Bearer {0}\x85"],
)  # fmt: skip
def test_a_good_token_in_another_form_of_header_is_refused(
    projects: dict[str, Project], form: str, ledger: Ledger
) -> None:
    project = projects["HS256"]
    project.forget()
    answer = post(project, CREATE, Authorization=form.format(project.victim.token).encode("latin-1"))
    ledger.note("odd Authorization header", refused=answer.status_code == 401, reached=len(project.received()))
    assert answer.status_code == 401
    assert project.received() == []


@pytest.mark.parametrize("second", ["Bearer {0}", "Basic x", "x", "", ","])
def test_two_authorization_headers_are_refused(projects: dict[str, Project], second: str, ledger: Ledger) -> None:
    project = projects["HS256"]
    token, process = project.victim.token, project.processes[CREATE]
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


@pytest.mark.parametrize("size", [8_001, 8_100, 9_000, 60_000, 1_000_000])
def test_a_huge_token_is_refused(projects: dict[str, Project], size: int, ledger: Ledger) -> None:
    """By us, or before us: gunicorn takes no header line over 8,190 bytes and closes the connection."""
    project = projects["HS256"]
    project.forget()
    try:
        status = post(project, CREATE, Authorization="Bearer e30.e30." + "A" * (size - 8)).status_code
    except requests.ConnectionError:
        status = 400  # cut off while still sending
    ledger.note("huge token", refused=status in (400, 401, 431), reached=len(project.received()))
    assert status == 401 if size < 8_150 else status in (400, 431)
    assert project.received() == []


def test_a_huge_token_is_refused_where_the_server_lets_it_through(projects: dict[str, Project]) -> None:
    with checking(projects["ES256"], []) as user_id:
        for token in ("A" * 10_000_000, "." * 10_000_000, "e30.e30." + "A" * 10_000_000):
            began = time.thread_time()
            with pytest.raises(InvalidToken, match="Unauthorized"):
                user_id(token)
            assert time.thread_time() - began < 0.1


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
    with checking(project, [public]) as user_id:
        assert user_id(project.victim.token) == project.victim.user_id
    with checking(project, [public | changed]) as user_id, pytest.raises(InvalidToken):
        user_id(project.victim.token)


@pytest.mark.parametrize("crv", ["P-384", "P-521", "secp256k1", "Ed25519", None])
def test_a_published_key_on_another_curve_verifies_nothing(projects: dict[str, Project], crv: str | None) -> None:
    project = projects["ES256"]
    key = project.stack.supabase.auth.signing_key("ES256").public() | {"crv": crv}
    with checking(project, [key]) as user_id, pytest.raises(InvalidToken, match="Unauthorized") as caught:
        user_id(project.victim.token)
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
    forge = Forge(project)
    wrong = secret.strip('"') if part_of_it is ... else part_of_it
    with checking(project, [], SUPABASE_JWT_SECRET=secret) as user_id:
        assert user_id(forge.hmac(secret.encode())) == project.victim.user_id
        with pytest.raises(InvalidToken):
            user_id(forge.hmac(wrong.encode()))


@contextmanager
def checking(project: Project, keys: list[dict[str, Any]], **env: str) -> Iterator[Callable[[str], str]]:
    """The check of a token in this process, for a project that publishes these keys."""
    server = project.stack.supabase_server
    body = json.dumps({"keys": keys}).encode()
    server.inject(Fault("auth.jwks", status=200, body=body, times=None))
    with closing(Runtime(config_from(project.stack.environment() | env))) as runtime:
        yield lambda token: runtime.caller_check.user_id(token, runtime.begin("test", "r", 5).upstream)
    server.clear_faults()
