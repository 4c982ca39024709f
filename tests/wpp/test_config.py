"""The settings, right and wrong."""

from __future__ import annotations

import pytest

from wpp.config import config_from, cors_allow_origin
from wpp.errors import NotConfigured

COMPLETE = {
    "SUPABASE_URL": "https://abc.supabase.co/",
    "SUPABASE_SERVICE_ROLE_KEY": "service-key",
    "WPP_SECRET": "wpp-secret",
}


def test_the_defaults_are_those_of_the_design() -> None:
    settings = config_from(COMPLETE)
    assert settings.supabase_url == "https://abc.supabase.co"
    assert settings.supabase_anon_key.value() == "service-key"
    assert settings.supabase_jwt_secret is None
    assert settings.wpp_base_url == "https://msg.academyos.ru"
    assert settings.wpp_webhook_url == "https://abc.supabase.co/functions/v1/wpp-webhook"
    assert (settings.qr_wait_seconds, settings.deadline_seconds) == (20, 28)


def test_all_that_is_missing_or_wrong_is_in_one_message_without_values() -> None:
    env = {
        "WPP_SECRET": "bad\nsecret",
        "WPP_BASE_URL": "ftp://x",
        "WPP_DEADLINE_SECONDS": "soon",
        "SUPABASE_JWT_SECRET": "too-few",
    }
    with pytest.raises(NotConfigured) as caught:
        config_from(env)
    text = str(caught.value)
    for name in ("SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY", *env):
        assert name in text
    for value in env.values():
        assert value not in text


def test_what_is_derived_from_a_missing_setting_is_no_problem_of_its_own() -> None:
    with pytest.raises(NotConfigured) as caught:
        config_from({})
    missing = ("SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY", "WPP_SECRET")
    assert str(caught.value) == "Not configured: " + "; ".join(f"{name} is missing" for name in missing)


@pytest.mark.parametrize(
    "url",
    ["https://a.example", "http://127.0.0.1:54321", "http://localhost:8000", "http://kong:8000", "http://[::1]:1"],
)
def test_addresses_that_are_allowed(url: str) -> None:
    assert config_from({**COMPLETE, "SUPABASE_URL": url}).supabase_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example",
        "a.example",
        "https://",
        "https://u:p@a.example",
        "https://a.example?x=1",
        "https://a:port",
        "file:///x",
    ],
)
def test_addresses_that_are_not(url: str) -> None:
    with pytest.raises(NotConfigured, match="SUPABASE_URL must be an https:// address"):
        config_from({**COMPLETE, "SUPABASE_URL": url})


@pytest.mark.parametrize(
    ("value", "origin"),
    [
        ("", "*"),
        (" * ", "*"),
        ("https://app.example.org", "https://app.example.org"),
        ("https://App.example.org/", "https://app.example.org"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("https://xn--e1afmkfd.xn--p1ai", "https://xn--e1afmkfd.xn--p1ai"),
        ("capacitor://localhost", "capacitor://localhost"),
    ],
)
def test_an_origin_is_written_as_browsers_write_it(value: str, origin: str) -> None:
    env = {**COMPLETE, "CORS_ALLOW_ORIGIN": value}
    config_from(env)
    assert cors_allow_origin(env) == origin


@pytest.mark.parametrize(
    "value",
    [
        "https://пример.рф",
        "https://a.example\nX: y",
        "https://a.example, https://b.example",
        "https://a.example/app",
        "https://a.example//",
        "https://a.example:port",
        "https://u@a.example",
        "https://*.example",
        "a.example",
        "null",
    ],
)
def test_what_is_not_one_origin_is_reported_and_no_header_gets_it(value: str) -> None:
    env = {**COMPLETE, "CORS_ALLOW_ORIGIN": value}
    assert cors_allow_origin(env) == "*"
    with pytest.raises(NotConfigured, match=r"^Not configured: CORS_ALLOW_ORIGIN must be \* or one origin") as caught:
        config_from(env)
    assert value not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://x.example", "javascript:1", "not a url"])
def test_a_webhook_address_that_nobody_could_call_is_reported(url: str) -> None:
    with pytest.raises(NotConfigured, match="WPP_WEBHOOK_URL must be"):
        config_from({**COMPLETE, "WPP_WEBHOOK_URL": url})


def test_no_secret_shows_in_a_repr() -> None:
    shown = repr(config_from({**COMPLETE, "SUPABASE_JWT_SECRET": "jwt-secret-of-some-length"}))
    for value in ("service-key", "wpp-secret", "jwt-secret-of-some-length"):
        assert value not in shown
