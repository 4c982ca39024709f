"""The connect page in a real browser: what a person who knows nothing does, and what they see when something goes wrong."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import requests
import zxingcpp
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from emulator.local import Local, local_stack
from tests.support.servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.skipif(
        not CHROMIUM and not os.environ.get("CI"), reason="there is no chromium: apt-get install chromium"
    ),
    pytest.mark.skipif(not shutil.which("npm") and not os.environ.get("CI"), reason="supabase-js is fetched with npm"),
]
# A browser for tests needs no network.
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def local() -> Iterator[Local]:
    with local_stack(0, show=False, own={"WPP_DEADLINE_SECONDS": "1.5", "WPP_QR_WAIT_SECONDS": "1"}) as started:
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM or "chromium", args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def opened(local: Local, browser: Browser) -> Iterator[Any]:
    """Opens the page on an empty stack; takes the options of the browser context."""
    requests.post(f"{local.url}/_page/reset", json={}, timeout=10).raise_for_status()
    local.stack.platform.settings.qr_delay = 0.3
    errors: list[str] = []
    with ExitStack() as contexts:

        def open_page(**options: Any) -> Page:
            context = browser.new_context(**{"locale": "en-US", **options})
            contexts.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(15_000)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(f"{local.url}/")
            return page

        yield open_page
    assert errors == []


def signed_in(page: Page) -> Page:
    button = page.get_by_role("button", name="Sign in")
    expect(button).to_be_enabled()
    button.evaluate("button => { button.click(); button.click(); }")  # impatient people: there is one card all the same
    expect(page.get_by_role("button", name="Connect WhatsApp").first).to_be_visible()
    return page


def decoded(page: Page) -> str:
    """What a phone reads off the screen."""
    picture = page.locator("figure:visible img").last
    expect(picture).to_be_visible()
    found = zxingcpp.read_barcodes(Image.open(io.BytesIO(picture.screenshot())))
    return found[0].text if found else ""


def qr_of(local: Local, session: str) -> str | None:
    return local.stack.platform.qr(local.stack.platform.sessions[session])


def test_a_person_signs_in_connects_scans_disconnects_and_adds_a_number(opened: Any, local: Local) -> None:
    page = signed_in(opened())
    page.get_by_role("button", name="Connect WhatsApp").click()
    expect(page.locator("figure img")).to_be_visible()
    (row,) = local.stack.supabase.rows()
    session = row["settings"]["wppAccountNumber"]
    first = decoded(page)
    assert first == qr_of(local, session)

    page.get_by_role("button", name="20 s: next QR").click()
    wait_for(lambda: decoded(page) not in ("", first))
    assert decoded(page) == qr_of(local, session)

    page.get_by_role("button", name="Play the scan").click()
    expect(page.get_by_role("status").first).to_have_text(f"Connected · session {session}")

    page.get_by_role("button", name="Add a further number").click()
    wait_for(lambda: len(local.stack.supabase.rows()) == 2)
    second = page.locator("article").last
    expect(second.locator("img")).to_be_visible()
    page.get_by_label("The platform drops every connection").check()
    expect(second.get_by_role("alert")).to_be_visible()
    page.get_by_label("The platform drops every connection").uncheck()
    expect(second.get_by_role("alert")).to_be_hidden()
    second.get_by_role("button", name="Play the scan").click()
    expect(second.get_by_role("status")).to_contain_text("Connected")
    calls = requests.get(f"{local.url}/_page/calls", timeout=5).json()
    called = [call["function"] for call in calls]
    assert sorted(name for name in called if name not in ("wpp-status", "wpp-qr")) == ["wpp-create", "wpp-provision"]
    assert called.count("wpp-status") > 2

    page.reload()
    signed_in(page)
    page.get_by_role("button", name="Connect WhatsApp").last.click()
    expect(page.locator("article").last.get_by_role("status")).to_contain_text("Connected")
    page.get_by_role("button", name="Connect WhatsApp").click()

    primary = page.locator("article").first
    primary.get_by_role("button", name="Disconnect").click()
    expect(primary.get_by_role("button", name="Connect WhatsApp")).to_be_focused()
    expect(primary.get_by_role("status")).to_have_text("Not connected")
    assert local.stack.platform.sessions[session].connected is False
    assert len(local.stack.platform.clients) == 2


FAULTS = {
    "The platform drops every connection": "The WhatsApp platform cannot be reached",
    "A proxy answers 502 for the platform": "The WhatsApp platform cannot be reached",
    "The platform refuses WPP_SECRET": "WhatsApp cannot be connected at the moment",
    # A new key may be refused for a while, so it is tried until the time is over.
    "The platform refuses the organization's key": "This took too long",
    "The platform takes 2 seconds for each call": "The WhatsApp platform does not answer in time",
    "The answer to `create` is lost every time": "The WhatsApp platform cannot be reached",
    "The database answers 503": "Our database cannot be reached",
}


@pytest.mark.parametrize(("switch", "message"), FAULTS.items())
def test_each_fault_is_a_clear_message_and_over_with_the_fault(opened: Any, switch: str, message: str) -> None:
    page = signed_in(opened())
    page.get_by_label(switch).check()
    page.get_by_role("button", name="Connect WhatsApp").click()
    expect(page.locator("article").get_by_role("alert")).to_contain_text(message)

    page.get_by_label(switch).uncheck()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("figure img")).to_be_visible()
    expect(page.locator("article").get_by_role("alert")).to_be_hidden()


def test_the_inspector_shows_upstream_calls_replays_and_copies_a_call_that_works(opened: Any, local: Local) -> None:
    page = signed_in(opened(permissions=["clipboard-read", "clipboard-write"]))
    page.get_by_role("button", name="Connect WhatsApp").click()
    entry = page.locator("details").filter(has_text="wpp-provision")
    entry.locator("summary").click()
    rows = entry.get_by_role("row")
    expect(rows.filter(has_text="WPP Platform create")).to_have_count(1)
    expect(rows.filter(has_text="Supabase auth.user")).to_have_count(1)
    expect(entry.locator("pre.answer")).to_contain_text('"status": "qr_issued"')

    entry.get_by_role("button", name="Copy as curl").click()
    line = page.evaluate("navigator.clipboard.readText()")
    answer = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True).stdout
    assert '"success":true' in answer

    expect(page.locator("details").filter(has_text="wpp-provision")).to_have_count(2)
    entry.last.get_by_role("button", name="Replay").click()
    expect(page.locator("details").filter(has_text="wpp-provision")).to_have_count(3)
    assert len(local.stack.platform.clients) == 1


def test_who_is_signed_out_is_told_so(opened: Any) -> None:
    page = signed_in(opened())
    page.get_by_role("button", name="25 h: you are signed out").click()
    expect(page.locator("#clock")).to_have_text("ahead by 25 hr")
    page.get_by_role("button", name="Connect WhatsApp").click()
    expect(page.locator("#trouble")).to_have_text("You are signed out. Sign in again.")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_it_speaks_russian_to_a_russian_browser_and_needs_no_mouse(opened: Any) -> None:
    page = opened(locale="ru-RU")
    sign_in = page.get_by_role("button", name="Войти")
    expect(sign_in).to_be_enabled()
    page.get_by_label("Пароль").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Подключить WhatsApp")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("figure img")).to_be_visible()
    expect(page.get_by_role("button", name="Сыграть сканирование")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Отключить")).to_be_focused()
    assert page.locator("html").get_attribute("lang") == "ru"
    page.get_by_role("button", name="20 с: новый QR").click()
    expect(page.locator("#clock")).to_have_text("впереди на 20 с")
    expect(page.locator("details").last).to_contain_text(re.compile(r"мс · \d+ вызов.*обращени"))
    counted = page.evaluate("import('/_page/texts.js').then((t) => [1, 3, 11, 22].map((n) => t.counted(n, 'calls')))")
    assert counted == ["1 вызов", "3 вызова", "11 вызовов", "22 вызова"]
    # Nothing is left in the other language.
    assert not re.search(
        r"\b(Connect|Sign|Scan|Calls|Reset)\b", page.locator("body").inner_text().replace("Linked", "")
    )


def test_a_page_whose_stack_has_ended_says_so(opened: Any, local: Local) -> None:
    page = signed_in(opened())
    page.route("**/_page/**", lambda route: route.abort())
    expect(page.locator("#trouble")).to_contain_text("The local stack has ended")
    page.unroute("**/_page/**")
    expect(page.locator("#trouble")).to_be_hidden()


def test_a_session_that_a_reset_removed_is_answered_as_not_found(opened: Any, local: Local) -> None:
    page = signed_in(opened())
    page.get_by_role("button", name="Connect WhatsApp").click()
    expect(page.locator("figure img")).to_be_visible()
    (row,) = local.stack.supabase.rows()
    token = local.stack.platform.token(row["settings"]["wppApiKey"])
    assert token is not None
    requests.post(f"{local.url}/_page/reset", json={}, timeout=10).raise_for_status()
    scan = {"session": row["settings"]["wppAccountNumber"]}
    assert requests.post(f"{local.url}/_page/scan", json=scan, timeout=10).status_code == 404
    assert local.stack.platform.session_of(token) is None
    assert [received for received in local.stack.supabase_server.received if received.call == "page"] == []


def test_a_phone_that_is_unlinked_is_noticed(opened: Any, local: Local) -> None:
    page = opened()
    page.clock.install()
    signed_in(page)
    page.get_by_role("button", name="Connect WhatsApp").click()
    page.get_by_role("button", name="Play the scan").click()
    expect(page.locator("article").get_by_role("status")).to_contain_text("Connected")
    (row,) = local.stack.supabase.rows()
    local.stack.platform.disconnect(row["settings"]["wppAccountNumber"])
    page.clock.run_for(10_000)
    expect(page.locator("article").get_by_role("status")).not_to_contain_text("Connected")


def test_a_poll_that_fails_does_not_show_a_disconnection(opened: Any, local: Local) -> None:
    page = opened()
    page.clock.install()
    signed_in(page)
    card = page.locator("article")
    page.get_by_role("button", name="Connect WhatsApp").click()
    page.get_by_role("button", name="Play the scan").click()
    expect(card.get_by_role("status")).to_contain_text("Connected")
    page.get_by_label("The platform drops every connection").check()
    page.clock.run_for(10_000)
    expect(card.get_by_role("alert")).to_contain_text("The WhatsApp platform cannot be reached")
    expect(card.get_by_role("status")).to_contain_text("Connected")
    page.get_by_label("The platform drops every connection").uncheck()
    page.clock.run_for(10_000)
    expect(card.get_by_role("alert")).to_be_hidden()
    expect(card.get_by_role("status")).to_contain_text("Connected")


def test_without_supabase_js_the_page_says_what_is_missing(local: Local, browser: Browser) -> None:
    context = browser.new_context(locale="en-US")
    page = context.new_page()
    page.route("**/_page/supabase.js", lambda route: route.fulfill(status=503, body="npm is not installed"))
    page.goto(f"{local.url}/")
    expect(page.get_by_role("alert")).to_have_text("supabase-js could not be loaded: npm is not installed")
    expect(page.get_by_role("button", name="Sign in")).to_be_disabled()
    context.close()


@pytest.mark.parametrize("width", [1280, 360])
def test_nothing_overflows_a_wide_or_a_narrow_screen(opened: Any, width: int) -> None:
    page = signed_in(opened(viewport={"width": width, "height": 800}))
    page.get_by_role("button", name="Connect WhatsApp").click()
    expect(page.locator("figure img")).to_be_visible()
    page.locator("details summary").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
