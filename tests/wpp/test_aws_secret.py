"""Secrets in AWS: boto3 over HTTP against moto's server, and the rules for keeping and renewing with a clock of the test's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from wpp.aws_secret import LIFETIME, RENEWAL_PAUSE, AwsSecrets
from wpp.clock import Clock
from wpp.config import settings_from
from wpp.errors import NotConfigured, UpstreamBroken, UpstreamTimeout
from wpp.faas import aws_lambda, function
from wpp.provisioning.service import connect
from wpp.redaction import REDACTION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.callers import Caller
    from wpp.aws_secret import AwsSecret

REGION = "eu-central-1"
ARN = f"arn:aws:secretsmanager:{REGION}:123456789012:secret:wpp-AbCdEf"


@pytest.fixture(scope="module")
def _moto() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(_moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", _moto)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


def put(text: str, name: str) -> str:
    arn: str = boto3.client("secretsmanager", REGION).create_secret(Name=name, SecretString=text)["ARN"]
    return arn


def secret(arn: str, **options: Any) -> AwsSecret:
    made = AwsSecrets().secret("WPP_SECRET", arn, **options)
    assert made is not None
    return made


@pytest.mark.usefixtures("aws")
def test_a_secret_a_field_of_it_and_a_parameter_are_read() -> None:
    ssm = boto3.client("ssm", REGION)
    ssm.put_parameter(Name="/wpp/secret", Value="s3cret", Type="SecureString")
    assert secret(put("whole\n", "whole")).value() == "whole"
    assert secret(put('{"a": "one", "b": "two"}', "fields") + "#b").value() == "two"
    assert secret(f"arn:aws:ssm:{REGION}:123456789012:parameter/wpp/secret").value() == "s3cret"


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        ("s3cret-text", "#a", "no JSON"),
        ('{"b": "s3cret-text"}', "#a", "no text field"),
        ("ключ-s3cret", "", "characters"),
        (" ", "", "shorter"),
    ],
)
def test_a_wrong_field_names_the_variable_and_never_the_value(
    text: str, key: str, problem: str, request: pytest.FixtureRequest
) -> None:
    made = secret(put(text, f"wrong-{abs(hash(request.node.name))}") + key)
    with pytest.raises(NotConfigured) as caught:
        made.value()
    assert str(caught.value).startswith("WPP_SECRET: ")
    assert problem in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("arn", [ARN, f"arn:aws:ssm:{REGION}:123456789012:parameter/none"])
def test_what_does_not_exist_is_named_by_its_variable(arn: str) -> None:
    made = secret(arn)
    with pytest.raises(NotConfigured, match=r"^WPP_SECRET: the ARN names nothing"):
        made.value()


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    "name", ["WPP_SECRET", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_ANON_KEY", "SUPABASE_JWT_SECRET"]
)
def test_a_rotated_secret_needs_no_restart(caller: Caller, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    environment = caller.stack.environment()
    arn = put(json.dumps({name: "an-older-secret-than-it-is"}), f"rotated-{name}")
    for variable, value in (environment | {name: f"{arn}#{name}"}).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(function, "_PROCESS", function._Process())
    served = function.Function(
        "wpp-create", lambda invocation, call: {"s": connect(invocation, call.access_token).session}
    )
    function.prepare()  # the instance has the older one now
    boto3.client("secretsmanager", REGION).put_secret_value(
        SecretId=arn, SecretString=json.dumps({name: environment[name]})
    )

    event = {"requestContext": {"http": {"method": "POST"}}, "headers": {"authorization": f"Bearer {caller.token}"}}
    answer = aws_lambda.serve(served, event, Context())

    assert answer["statusCode"] == 200, answer["body"]
    assert len(caller.rows()) == 1


class Context:
    aws_request_id = "id"

    def get_remaining_time_in_millis(self) -> int:
        return 20_000


class Fetches:
    """Stands for AWS where time or its errors matter."""

    def __init__(self, *results: str | Exception) -> None:
        self.results = list(results)
        self.count = 0
        self.now = 1000.0

    def __call__(self, service: str, region: str, arn: str) -> str:
        self.count += 1
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, Exception):
            raise result
        return result

    def secrets(self) -> AwsSecrets:
        return AwsSecrets(Clock(monotonic=lambda: self.now), self)

    def secret(self, key: str = "") -> AwsSecret:
        made = self.secrets().secret("WPP_SECRET", ARN + key)
        assert made is not None
        return made


def test_a_value_is_kept_for_five_minutes() -> None:
    fetches = Fetches("old", "new")
    made = fetches.secret()
    assert made.value() == "old"
    fetches.now += LIFETIME - 1
    assert (made.value(), fetches.count) == ("old", 1)
    fetches.now += 1
    assert (made.value(), fetches.count) == ("new", 2)


def test_settings_that_share_an_arn_share_one_fetch() -> None:
    fetches = Fetches(json.dumps({"a": "one", "b": "two"}))
    secrets = fetches.secrets()
    one, two = secrets.secret("A", f"{ARN}#a"), secrets.secret("B", f"{ARN}#b")
    assert one is not None
    assert two is not None
    assert (one.value(), two.value(), fetches.count) == ("one", "two", 1)


def test_a_refused_value_is_renewed_at_once_and_only_a_change_counts() -> None:
    changed, same = Fetches("old", "new").secret(), Fetches("old").secret()
    assert (changed.value(), changed.renewed("old"), changed.value()) == ("old", True, "new")
    assert (same.value(), same.renewed("old")) == ("old", False)


def test_a_value_that_another_thread_has_renewed_is_not_fetched_again() -> None:
    fetches = Fetches("new", "newer")
    made = fetches.secret()
    made.value()
    assert made.renewed("old") is True
    assert fetches.count == 1


def test_a_secret_that_stays_refused_does_not_hammer_aws() -> None:
    fetches = Fetches("old")
    made = fetches.secret()
    for _ in range(20):
        assert made.renewed(made.value()) is False
    assert fetches.count == 2
    fetches.now += RENEWAL_PAUSE
    made.renewed("old")
    assert fetches.count == 3


class Refusal(Exception):
    """Like botocore's ClientError, with a text that must not get out."""

    def __init__(self, code: str) -> None:
        super().__init__("User: arn:aws:sts::123456789012:assumed-role/x is not authorized")
        self.response = {"Error": {"Code": code}}


class ReadTimeoutError(Exception):
    pass


@pytest.mark.parametrize(
    ("raised", "expected"),
    [(Refusal("AccessDeniedException"), NotConfigured), (Refusal("ThrottlingException"), UpstreamBroken),
     (Refusal("InternalServiceError"), UpstreamBroken), (ReadTimeoutError(), UpstreamTimeout), (OSError(), UpstreamBroken)],
)  # fmt: skip
def test_errors_of_aws_are_ours_and_name_the_variable(raised: Exception, expected: type[Exception]) -> None:
    made = Fetches(raised).secret()
    with pytest.raises(expected) as caught:
        made.value()
    assert "WPP_SECRET" in str(caught.value)
    assert "123456789012" not in str(caught.value)


def test_a_failed_look_up_is_not_kept() -> None:
    made = Fetches(Refusal("ThrottlingException"), "value").secret()
    with pytest.raises(UpstreamBroken):
        made.value()
    assert made.value() == "value"


def test_the_old_value_serves_on_while_aws_is_too_busy() -> None:
    fetches = Fetches("old", Refusal("ThrottlingException"), "new")
    made = fetches.secret()
    made.value()
    fetches.now += LIFETIME
    assert (made.value(), made.value(), fetches.count) == ("old", "old", 2)
    fetches.now += RENEWAL_PAUSE
    assert (made.value(), fetches.count) == ("new", 3)


def test_the_old_value_does_not_serve_on_once_it_may_not_be_read() -> None:
    fetches = Fetches("old", Refusal("AccessDeniedException"))
    made = fetches.secret()
    made.value()
    fetches.now += LIFETIME
    with pytest.raises(NotConfigured, match="WPP_SECRET: AWS does not let"):
        made.value()


def test_a_failed_renewal_leaves_the_refusal_to_be_reported() -> None:
    made = Fetches("old", Refusal("ThrottlingException")).secret()
    assert made.renewed(made.value()) is False


def test_a_fetched_value_is_in_no_log() -> None:
    made = Fetches(json.dumps({"a": "fetched-and-never-shown"})).secret("#a")
    made.value()
    assert "fetched-and" not in REDACTION.text("oops: fetched-and-never-shown")


def test_forgetting_has_the_value_fetched_again() -> None:
    made = Fetches("old", "new").secret()
    made.value()
    made.forget()
    assert made.value() == "new"


@pytest.mark.parametrize("arn", ["arn:aws:s3:::bucket", "arn:aws:ssm:eu:1:parameter/x", "arn:", f"{ARN} x"])
def test_an_arn_of_something_else_is_reported_with_the_other_settings(arn: str) -> None:
    with pytest.raises(NotConfigured, match=r"SUPABASE_URL is missing.*WPP_SECRET must be the ARN"):
        settings_from({"WPP_SECRET": arn})
