"""How long a secret in AWS is kept, when it is fetched anew, and who waits for it: with a clock of the test's."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from wpp.aws_secret import LIFETIME, RENEWAL_PAUSE, AwsSecrets
from wpp.clock import Clock
from wpp.errors import NotConfigured, UpstreamBroken

if TYPE_CHECKING:
    from wpp.aws_secret import AwsSecret

ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:wpp-AbCdEf"


THROTTLED = ClientError({"Error": {"Code": "ThrottlingException"}}, "GetSecretValue")
DENIED = ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetSecretValue")


class Fetches:
    """Stands for AWS where time or its errors matter."""

    def __init__(self, *results: str | BaseException) -> None:
        self.results = list(results)
        self.count = 0
        self.now = 1000.0

    def __call__(self, service: str, region: str, arn: str) -> str:
        self.count += 1
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, BaseException):
            raise result
        return result

    def secrets(self) -> AwsSecrets:
        return AwsSecrets(Clock(monotonic=lambda: self.now), self)

    def secret(self, key: str = "") -> AwsSecret:
        stored = self.secrets().secret("WPP_SECRET", ARN + key)
        assert stored is not None
        return stored


def test_a_value_is_kept_for_five_minutes() -> None:
    fetches = Fetches("old", "new")
    stored = fetches.secret()
    assert stored.value() == "old"
    fetches.now += LIFETIME - 1
    assert (stored.value(), fetches.count) == ("old", 1)
    fetches.now += 1
    assert (stored.value(), fetches.count) == ("new", 2)


def test_variables_that_share_an_arn_share_one_fetch() -> None:
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
    stored = fetches.secret()
    stored.value()
    assert stored.renewed("old") is True
    assert fetches.count == 1


def test_a_secret_that_stays_refused_does_not_hammer_aws() -> None:
    fetches = Fetches("old")
    stored = fetches.secret()
    for _ in range(20):
        assert stored.renewed(stored.value()) is False
    assert fetches.count == 2
    fetches.now += RENEWAL_PAUSE
    stored.renewed("old")
    assert fetches.count == 3


def test_a_failed_look_up_is_not_kept() -> None:
    stored = Fetches(THROTTLED, "value").secret()
    with pytest.raises(UpstreamBroken):
        stored.value()
    assert stored.value() == "value"


def test_the_old_value_serves_on_while_aws_is_too_busy() -> None:
    fetches = Fetches("old", THROTTLED, "new")
    stored = fetches.secret()
    stored.value()
    fetches.now += LIFETIME
    assert (stored.value(), stored.value(), fetches.count) == ("old", "old", 2)
    fetches.now += RENEWAL_PAUSE
    assert (stored.value(), fetches.count) == ("new", 3)


def test_the_old_value_does_not_serve_on_once_it_may_not_be_read() -> None:
    fetches = Fetches("old", DENIED)
    stored = fetches.secret()
    stored.value()
    fetches.now += LIFETIME
    with pytest.raises(NotConfigured, match="WPP_SECRET: AWS does not let"):
        stored.value()


def test_a_failed_renewal_leaves_the_refusal_to_be_reported() -> None:
    stored = Fetches("old", THROTTLED).secret()
    assert stored.renewed(stored.value()) is False


def test_forgetting_has_the_value_fetched_again() -> None:
    stored = Fetches("old", "new").secret()
    stored.value()
    stored.forget()
    assert stored.value() == "new"


WAIT = 10.0  # seconds: only a test that fails waits so long


class SlowFetches(Fetches):
    """The fetch whose number is `held` has been reached, but ends only once it is let go."""

    def __init__(self, *results: str | BaseException, held: int = 1) -> None:
        super().__init__(*results)
        self._held = held
        self.reached, self.let_go = threading.Event(), threading.Event()

    def __call__(self, service: str, region: str, arn: str) -> str:
        if self.count + 1 == self._held:
            self.reached.set()
            assert self.let_go.wait(WAIT)
        return super().__call__(service, region, arn)


def test_while_one_fetches_anew_the_others_go_on_with_the_old_value() -> None:
    fetches = SlowFetches("old", "new", held=2)
    stored = fetches.secret()
    stored.value()
    fetches.now += LIFETIME
    with ThreadPoolExecutor(2) as threads:
        fetching = threads.submit(stored.value)
        try:
            assert fetches.reached.wait(WAIT)
            assert threads.submit(stored.value).result(WAIT) == "old"
        finally:
            fetches.let_go.set()
        assert fetching.result(WAIT) == "new"
    assert (stored.value(), fetches.count) == ("new", 2)


def test_all_who_need_a_value_share_one_fetch() -> None:
    fetches = SlowFetches("value", "fetched twice")
    stored = fetches.secret()
    with ThreadPoolExecutor(8) as threads:
        values = [threads.submit(stored.value) for _ in range(8)]
        assert fetches.reached.wait(WAIT)
        fetches.let_go.set()
        assert {value.result(WAIT) for value in values} == {"value"}
    assert fetches.count == 1


def test_a_refused_value_is_renewed_by_the_fetch_that_is_under_way() -> None:
    fetches = SlowFetches("old", "new", "fetched twice", held=2)
    stored = fetches.secret()
    stored.value()
    with ThreadPoolExecutor(8) as threads:
        renewals = [threads.submit(stored.renewed, "old") for _ in range(8)]
        assert fetches.reached.wait(WAIT)
        fetches.let_go.set()
        assert {renewal.result(WAIT) for renewal in renewals} == {True}
    assert (stored.value(), fetches.count) == ("new", 2)


@pytest.mark.parametrize("ending", [THROTTLED, SystemExit()])
def test_a_fetch_that_fails_or_is_ended_leaves_nobody_waiting(ending: BaseException) -> None:
    fetches = SlowFetches(ending, "value")
    stored = fetches.secret()
    with ThreadPoolExecutor(4) as threads:
        values = [threads.submit(stored.value) for _ in range(4)]
        assert fetches.reached.wait(WAIT)
        fetches.let_go.set()
        outcomes = [type(value.exception(WAIT)) for value in values]
    assert set(outcomes) & {UpstreamBroken, SystemExit}
    assert outcomes.count(SystemExit) <= 1  # it ends the thread that fetched, and no other
    assert stored.value() == "value"


def test_a_log_line_knows_the_fetched_value_and_never_waits_for_one() -> None:
    fetches = SlowFetches("old", "new", held=2)
    stored = fetches.secret()
    assert stored.known_value() is None
    stored.value()
    fetches.now += LIFETIME
    with ThreadPoolExecutor(2) as threads:
        fetching = threads.submit(stored.value)
        try:
            assert fetches.reached.wait(WAIT)
            assert threads.submit(stored.known_value).result(WAIT) == "old"
        finally:
            fetches.let_go.set()
        fetching.result(WAIT)
    assert stored.known_value() == "new"


def test_a_field_that_is_missing_is_no_known_value() -> None:
    fetches = Fetches('{"a": "one"}')
    secrets = fetches.secrets()
    one, missing = secrets.secret("A", f"{ARN}#a"), secrets.secret("B", f"{ARN}#b")
    assert one is not None
    assert missing is not None
    one.value()
    assert (one.known_value(), missing.known_value()) == ("one", None)
