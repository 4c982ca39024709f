"""Secrets in AWS, read with boto3 over HTTP from moto's server, and what its errors become."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from tests.support.aws import REGION, aws_client, aws_services
from wpp.aws_secret import AwsSecrets
from wpp.config import config_from
from wpp.errors import NotConfigured, UpstreamBroken, UpstreamTimeout
from wpp.faas import aws_lambda, function
from wpp.provisioning.service import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.callers import Caller
    from wpp.aws_secret import AwsSecret

pytestmark = pytest.mark.slow
ARN = f"arn:aws:secretsmanager:{REGION}:123456789012:secret:wpp-AbCdEf"


@pytest.fixture(scope="module")
def _aws() -> Iterator[dict[str, str]]:
    with aws_services() as environment:
        yield environment


@pytest.fixture
def aws(_aws: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _aws.items():
        monkeypatch.setenv(name, value)


def put(text: str, name: str) -> str:
    arn: str = aws_client("secretsmanager").create_secret(Name=name, SecretString=text)["ARN"]
    return arn


def secret(arn: str, **options: Any) -> AwsSecret:
    stored = AwsSecrets().secret("WPP_SECRET", arn, **options)
    assert stored is not None
    return stored


@pytest.mark.usefixtures("aws")
def test_a_secret_a_field_of_it_and_a_parameter_are_read() -> None:
    ssm = aws_client("ssm")
    ssm.put_parameter(Name="/wpp/secret", Value="s3cret", Type="SecureString")
    assert secret(put("whole\n", "whole")).value() == "whole"
    assert secret(put('{"a": "one", "b": "two"}', "fields") + "#b").value() == "two"
    assert secret(f"arn:aws:ssm:{REGION}:123456789012:parameter/wpp/secret").value() == "s3cret"


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        ("s3cret-text", "#a", "not a JSON object"),
        ('{"b": "s3cret-text"}', "#a", "no text field"),
        ("ключ-s3cret", "", "characters"),
        (" ", "", "shorter"),
    ],
)
def test_a_wrong_field_names_the_variable_and_never_the_value(
    text: str, key: str, problem: str, request: pytest.FixtureRequest
) -> None:
    stored = secret(put(text, f"wrong-{abs(hash(request.node.name))}") + key)
    with pytest.raises(NotConfigured) as caught:
        stored.value()
    assert str(caught.value).startswith("WPP_SECRET: ")
    assert problem in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("arn", [ARN, f"arn:aws:ssm:{REGION}:123456789012:parameter/none"])
def test_what_does_not_exist_is_named_by_its_variable(arn: str) -> None:
    stored = secret(arn)
    with pytest.raises(NotConfigured, match=r"^WPP_SECRET: the ARN does not exist"):
        stored.value()


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    "name", ["WPP_SECRET", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_ANON_KEY", "SUPABASE_JWT_SECRET"]
)
def test_a_rotated_secret_needs_no_restart(caller: Caller, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    environment = caller.stack.environment()
    arn = put(json.dumps({name: "an-older-secret-than-it-is"}), f"rotated-{name}")
    for variable, value in (environment | {name: f"{arn}#{name}"}).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(function, "_PROCESS", function.Process())
    served = function.Function(
        "wpp-create", lambda invocation, call: function.Result({"s": connect(invocation, call.access_token).session})
    )
    function.prepare()  # the instance has the older one now
    aws_client("secretsmanager").put_secret_value(SecretId=arn, SecretString=json.dumps({name: environment[name]}))

    event = {"requestContext": {"http": {"method": "POST"}}, "headers": {"authorization": f"Bearer {caller.token}"}}
    answer = aws_lambda.serve(served, event, Context())

    assert answer["statusCode"] == 200, answer["body"]
    assert len(caller.rows()) == 1


class Context:
    aws_request_id = "id"

    def get_remaining_time_in_millis(self) -> int:
        return 20_000


PRIVATE = "User: arn:aws:sts::123456789012:assumed-role/x is not authorized"


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": PRIVATE}}, "GetSecretValue")


@pytest.mark.parametrize(
    ("raised", "expected", "problem"),
    [
        (refusal("AccessDeniedException"), NotConfigured, "AWS does not let this function read"),
        (refusal("ResourceNotFoundException"), NotConfigured, "the ARN does not exist"),
        (refusal("ThrottlingException"), UpstreamBroken, "is too busy"),
        (refusal("InternalServiceError"), UpstreamBroken, "failed with InternalServiceError"),
        (ConnectTimeoutError(endpoint_url=PRIVATE), UpstreamTimeout, "did not answer in time"),
        (ReadTimeoutError(endpoint_url=PRIVATE), UpstreamTimeout, "did not answer in time"),
        (NoCredentialsError(), NotConfigured, "no AWS credentials"),
        (CredentialRetrievalError(provider="x", error_msg=PRIVATE), NotConfigured, "no AWS credentials"),
        (EndpointConnectionError(endpoint_url=PRIVATE), UpstreamBroken, "cannot be reached"),
        (OSError(PRIVATE), UpstreamBroken, "cannot be reached"),
        (ModuleNotFoundError("boto3"), NotConfigured, "boto3 is not installed"),
    ],
)
def test_errors_of_aws_are_ours_and_name_the_variable(
    raised: Exception, expected: type[Exception], problem: str
) -> None:
    def fetch(service: str, region: str, arn: str) -> str:
        raise raised

    stored = AwsSecrets(fetch=fetch).secret("WPP_SECRET", ARN)
    assert stored is not None
    with pytest.raises(expected) as caught:
        stored.value()
    assert "WPP_SECRET" in str(caught.value)
    assert problem in str(caught.value)
    assert "123456789012" not in str(caught.value)


def test_the_configuration_names_the_secrets_at_hand_and_fetches_none() -> None:
    env = {"SUPABASE_URL": "https://x.supabase.co", "SUPABASE_SERVICE_ROLE_KEY": "service-key", "WPP_SECRET": ARN}
    assert set(config_from(env).known_secrets()) == {"service-key"}


@pytest.mark.parametrize("arn", ["arn:aws:s3:::bucket", "arn:aws:ssm:eu:1:parameter/x", "arn:", f"{ARN} x"])
def test_an_arn_of_something_else_is_reported_with_the_other_problems(arn: str) -> None:
    with pytest.raises(NotConfigured, match=r"SUPABASE_URL is missing.*WPP_SECRET must be the ARN"):
        config_from({"WPP_SECRET": arn})
