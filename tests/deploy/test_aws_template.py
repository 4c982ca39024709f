"""serverless.yml, packaged by osls as a deployment would, and read back: what is served, and what each role may do."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sysconfig
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from deploy.gcf import VARIABLES
from emulator.processes import ROOT
from tests.support.callers import ADDRESSES, FUNCTIONS
from wpp.config import config_from

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("npm") is None and not os.environ.get("CI"), reason="osls is installed with npm, which is not here"
    ),
]

OSLS = ROOT / ".venv/osls/node_modules/.bin/osls"
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:wpp-functions/prod-AbCdEf"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/0a1b2c3d-0000-4000-8000-000000000000"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:alarms"
NEEDED = {"SECRET_ARN": SECRET, "SUPABASE_URL": "https://project.example.org"}
# X-Ray has no resources: docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html
JUSTIFIED = {("xray:PutTraceSegments", "*"), ("xray:PutTelemetryRecords", "*")}
LOGICAL_IDS = [name[0].upper() + name[1:].replace("-", "Dash") for name in ADDRESSES]
"""How osls begins the names of the resources of each function."""


def packaged(folder: Path, stage: str, env: dict[str, str], edit: Callable[[str], str] = str) -> Path:
    """The template that a deployment of this stage would send; `edit` changes serverless.yml before."""
    for path in ("serverless.yml", "shared/deploy/aws/functions.js"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder / path)
    service = folder / "serverless.yml"
    service.write_text(edit(service.read_text()))
    (folder / "dist").mkdir()
    for name in FUNCTIONS:
        with zipfile.ZipFile(folder / f"dist/{name}.zip", "w") as archive:
            archive.writestr("main.py", "")
    ours = ("SUPABASE_", "WPP_", "AWS_", "SECRET_", "KMS_", "ALARM_", "PYTHON_VERSION", "ARCH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    run = subprocess.run(
        [str(OSLS), "package", "--stage", stage],
        cwd=folder,
        env={**kept, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return folder / ".serverless/cloudformation-template-update-stack.json"


@pytest.fixture(scope="module", autouse=True)
def _osls() -> None:
    """As `make deploy-aws` installs it."""
    subprocess.run(["make", "--no-print-directory", ".venv/.osls"], cwd=ROOT, check=True)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With all that is optional, and with secrets in the environment that must not get in."""
    also = {"KMS_KEY_ARN": KEY, "ALARM_TOPIC_ARN": TOPIC, "SUPABASE_JWT_SECRET_ARN": f"{SECRET}#SUPABASE_JWT_SECRET"}
    values = dict.fromkeys(("SUPABASE_SERVICE_ROLE_KEY", "WPP_SECRET", "SUPABASE_JWT_SECRET"), "top-secret-value")
    return packaged(tmp_path_factory.mktemp("prod"), "prod", NEEDED | also | values)


def uncommented(service: str) -> str:
    """serverless.yml with the entry of the reconciler."""
    first, rest = service.split("    # wpp-reconcile:\n")
    entry, empty, rest = rest.partition("\n\n")
    return f"{first}    wpp-reconcile:\n{entry.replace('    # ', '    ')}{empty}{rest}"


@pytest.fixture(scope="module")
def with_reconciler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without anything else that is optional."""
    return packaged(tmp_path_factory.mktemp("dev"), "dev", NEEDED, uncommented)


@pytest.fixture(scope="module")
def resources(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(path.read_text())["Resources"]
    return read


def of_type(resources: dict[str, Any], kind: str) -> dict[str, Any]:
    return {name: r["Properties"] for name, r in resources.items() if r["Type"] == kind}


def test_each_function_gets_every_variable_of_the_configuration(resources: dict[str, Any]) -> None:
    for function in of_type(resources, "AWS::Lambda::Function").values():
        assert {*VARIABLES, "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_JWT_SECRET", "WPP_SECRET"} <= function[
            "Environment"
        ]["Variables"].keys()


def test_cfn_lint_finds_nothing(path: Path, with_reconciler: Path) -> None:
    # W3005 is a superfluous DependsOn that osls itself writes.
    command = [
        f"{sysconfig.get_path('scripts')}/cfn-lint",
        "--ignore-checks",
        "W3005",
        "--",
        str(path),
        str(with_reconciler),
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout + run.stderr) == (0, "")


def statements(role: dict[str, Any]) -> list[dict[str, Any]]:
    policies = [policy.get("Fn::If", [None, policy])[1] for policy in role["Policies"]]
    return [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_no_role_may_do_everything_or_touch_everything(resources: dict[str, Any]) -> None:
    roles = of_type(resources, "AWS::IAM::Role")
    assert set(roles) == {f"{logical}Role" for logical in LOGICAL_IDS}
    for role in roles.values():
        assert "ManagedPolicyArns" not in role
        for statement in statements(role):
            for action in as_list(statement["Action"]):
                for resource in as_list(statement["Resource"]):
                    wide = "*" in action or "*" in json.dumps(resource)
                    assert not wide or (action, resource) in JUSTIFIED, (action, resource)


def test_each_function_has_a_role_that_reads_exactly_the_secrets_named(resources: dict[str, Any]) -> None:
    functions = of_type(resources, "AWS::Lambda::Function")
    assert len(functions) == len(FUNCTIONS)
    for logical in LOGICAL_IDS:
        role = f"{logical}Role"
        function = functions[f"{logical}LambdaFunction"]
        assert function["Role"] == {"Fn::GetAtt": [role, "Arn"]}
        allowed = {
            (action, json.dumps(resource))
            for statement in statements(resources[role]["Properties"])
            for action in as_list(statement["Action"])
            for resource in as_list(statement["Resource"])
        }
        group = json.dumps({"Fn::GetAtt": [f"{logical}LogGroup", "Arn"]})
        assert allowed == {
            *(("logs:CreateLogStream", group), ("logs:PutLogEvents", group)),
            *(("xray:PutTraceSegments", '"*"'), ("xray:PutTelemetryRecords", '"*"')),
            *(("secretsmanager:GetSecretValue", f'"{SECRET}"'), ("kms:Decrypt", '{"Ref": "KmsKeyArn"}')),
        }


def test_no_secret_is_in_the_template_and_its_settings_are_in_order(path: Path, resources: dict[str, Any]) -> None:
    assert "top-secret-value" not in path.read_text()
    for function in of_type(resources, "AWS::Lambda::Function").values():
        env = function["Environment"]["Variables"]
        assert config_from(env).supabase_url == NEEDED["SUPABASE_URL"]
        for name in ("SUPABASE_SERVICE_ROLE_KEY", "WPP_SECRET", "SUPABASE_JWT_SECRET"):
            assert env[name] == f"{SECRET}#{name}"


def test_exactly_the_routes_of_the_functions_are_served_within_limits(resources: dict[str, Any]) -> None:
    routes = {route["RouteKey"] for route in of_type(resources, "AWS::ApiGatewayV2::Route").values()}
    assert routes == {f"{method} /functions/v1/{name}" for method in ("GET", "POST", "OPTIONS") for name in ADDRESSES}
    (stage,) = of_type(resources, "AWS::ApiGatewayV2::Stage").values()
    limits = stage["DefaultRouteSettings"]
    assert (limits["ThrottlingRateLimit"], limits["ThrottlingBurstLimit"]) == (200, 400)
    payloads = [i["PayloadFormatVersion"] for i in of_type(resources, "AWS::ApiGatewayV2::Integration").values()]
    assert payloads == ["2.0"] * len(FUNCTIONS)


def test_the_functions_run_as_they_are_built_from_snapshots_traced_and_logged(resources: dict[str, Any]) -> None:
    for function in of_type(resources, "AWS::Lambda::Function").values():
        assert (function["Runtime"], function["Architectures"]) == ("python3.13", ["arm64"])
        assert function["Handler"] == "main.handler"
        assert function["SnapStart"] == {"ApplyOn": "PublishedVersions"}
        assert function["ReservedConcurrentExecutions"] == 100
        assert function["TracingConfig"] == {"Mode": "Active"}
        # Less than the 30 seconds of the gateway, more than our own deadline.
        assert 28 < function["Timeout"] < 30
    assert {group["RetentionInDays"] for group in of_type(resources, "AWS::Logs::LogGroup").values()} == {90}


def test_errors_and_slow_answers_of_each_function_raise_an_alarm(resources: dict[str, Any]) -> None:
    alarms = of_type(resources, "AWS::CloudWatch::Alarm").values()
    watched = {
        (alarm["MetricName"], alarm.get("Statistic") or alarm["ExtendedStatistic"], json.dumps(dimension["Value"]))
        for alarm in alarms
        for dimension in alarm["Dimensions"]
    }
    functions = [json.dumps({"Ref": name}) for name in of_type(resources, "AWS::Lambda::Function")]
    assert {("Errors", "Sum", name) for name in functions} < watched
    assert {("Duration", "p99", name) for name in functions} < watched
    assert ("5xx", "Average", '{"Ref": "HttpApi"}') in watched
    for alarm in alarms:
        assert float(alarm["Threshold"]) > 0
        assert alarm["AlarmActions"] == {
            "Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]
        }


def test_the_reconciler_can_be_scheduled_with_a_role_and_alarms_of_its_own(with_reconciler: Path) -> None:
    resources = json.loads(with_reconciler.read_text())["Resources"]
    name = "WppDashreconcileLambdaFunction"
    function = resources[name]["Properties"]
    module, _, handler = function["Handler"].rpartition(".")
    assert callable(getattr(importlib.import_module(module), handler))
    assert (function["Timeout"], function["ReservedConcurrentExecutions"]) == (900, 1)
    assert "SnapStart" not in function
    assert function["Role"] == {"Fn::GetAtt": ["WppDashreconcileRole", "Arn"]}
    allowed = json.dumps(statements(resources["WppDashreconcileRole"]["Properties"]))
    assert '["WppDashreconcileLogGroup", "Arn"]' in allowed
    assert SECRET in allowed
    (schedule,) = of_type(resources, "AWS::Events::Rule").values()
    (target,) = schedule["Targets"]
    assert (schedule["ScheduleExpression"], json.loads(target["Input"])) == ("rate(1 hour)", {"rate": 5})
    assert target["Arn"] == {"Fn::GetAtt": [name, "Arn"]}
    watched = [alarm["Dimensions"][0]["Value"] for alarm in of_type(resources, "AWS::CloudWatch::Alarm").values()]
    assert watched.count({"Ref": name}) == 2
