"""What a browser is told of who may call, and with what."""

from __future__ import annotations

from wpp.faas.cors import cors_headers, preflight_headers

EXPOSED = "Idempotent-Replayed, Retry-After, Server-Timing, X-Request-Id, X-Trace-Id"


def test_pages_of_any_origin_may_read_an_answer() -> None:
    assert cors_headers("*") == {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Expose-Headers": EXPOSED,
        "Timing-Allow-Origin": "*",
    }


def test_caches_keep_the_answer_for_one_origin_apart_from_those_for_others() -> None:
    assert cors_headers("https://app.example") == {
        "Access-Control-Allow-Origin": "https://app.example",
        "Access-Control-Expose-Headers": EXPOSED,
        "Timing-Allow-Origin": "https://app.example",
        "Vary": "Origin",
    }


def test_a_preflight_allows_what_supabase_js_sends() -> None:
    assert preflight_headers("https://app.example") == {
        **cors_headers("https://app.example"),
        "Access-Control-Allow-Methods": "POST, GET, OPTIONS",
        "Access-Control-Allow-Headers": (
            "authorization, x-client-info, apikey, content-type, x-region, x-retry-count, x-supabase-api-version, "
            "idempotency-key, traceparent, tracestate, baggage"
        ),
        "Access-Control-Max-Age": "86400",
    }
