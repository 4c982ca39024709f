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

    from playwright.sync_api import Browser, Route

CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which(
    "chromium"
)  # the former does all that is needed with less; without both, the one that `playwright install` fetched
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not CHROMIUM and not os.environ.get("CI"), reason="there is no chromium: apt-get install chromium"
    ),
]
# A browser for tests needs no network.
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync"]
expect.set_options(timeout=20_000)  # ms; 5 seconds are too few for a page on a busy machine


@pytest.fixture(scope="module")
def local() -> Iterator[Local]:
    with local_stack(0, show=False, own={"WPP_DEADLINE_SECONDS": "4", "WPP_QR_WAIT_SECONDS": "1"}) as started:
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def opened(local: Local, browser: Browser) -> Iterator[Any]:
    """Opens the page on an empty stack; takes the options of the browser context."""
    requests.post(f"{local.url}/_page/reset", json={}, timeout=10).raise_for_status()
    local.stack.platform.settings.qr_delay = 0
    errors: list[str] = []
    with ExitStack() as contexts:

        def open_page(**options: Any) -> Page:
            context = browser.new_context(**{"locale": "en-US", **options})
            contexts.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(15_000)
            page.clock.install()  # so that pauses between polls can be cut short
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


def test_a_person_connects_two_numbers_through_a_fault_disconnects_one_and_connects_it_again(
    opened: Any, local: Local
) -> None:
    page = opened()
    signed_in(page)
    expect(page.get_by_text("supabase-js, fetched once from the npm registry")).to_be_visible()
    page.get_by_role("button", name="Connect WhatsApp").click()
    page.clock.run_for(2000)
    expect(page.locator("figure img")).to_be_visible()
    (row,) = local.stack.supabase.rows()
    session = row["settings"]["wppAccountNumber"]
    first = decoded(page)
    assert first == qr_of(local, session)

    page.get_by_role("button", name="20 s: next QR code").click()
    wait_for(lambda: decoded(page) not in ("", first))
    assert decoded(page) == qr_of(local, session)

    page.get_by_role("button", name="Simulate scan").click()
    expect(page.get_by_role("status").first).to_have_text(f"Connected as {session}")

    page.get_by_role("button", name="Add a number").click()
    expect(page.get_by_role("button", name="Add a number")).to_be_hidden()
    second = page.locator("article").last
    expect(second.locator("img")).to_be_visible()
    page.get_by_label("Drops every connection").check()
    page.clock.run_for(2000)
    expect(second.get_by_role("alert")).to_contain_text("WPP Platform cannot be reached")
    page.get_by_label("Drops every connection").uncheck()
    page.clock.run_for(4000)
    expect(second.get_by_role("alert")).to_be_empty()
    second.get_by_role("button", name="Simulate scan").click()
    expect(second.get_by_role("status")).to_contain_text("Connected")
    called = [call["function"] for call in requests.get(f"{local.url}/_page/calls", timeout=5).json()["calls"]]
    assert [name for name in called if name not in ("wpp-status", "wpp-qr")] == ["wpp-create", "wpp-create"]
    assert called.count("wpp-status") >= 4

    page.reload()
    expect(second.get_by_role("status")).to_contain_text("Connected")
    primary = page.locator("article").first
    primary.get_by_role("button", name="Disconnect").click()
    expect(primary.get_by_role("button", name="Connect WhatsApp")).to_be_focused()
    expect(primary.get_by_role("status")).to_have_text("This number is disconnected.")
    assert local.stack.platform.sessions[session].connected is False
    expect(second.get_by_role("status")).to_contain_text("Connected")

    primary.get_by_role("button", name="Connect WhatsApp").click()
    primary.get_by_role("button", name="Simulate scan").click()
    expect(primary.get_by_role("status")).to_have_text(f"Connected as {session}")
    assert len(local.stack.platform.clients) == 2


def test_a_further_number_that_is_given_up_leaves_no_card_and_no_key(opened: Any, local: Local) -> None:
    page = signed_in(opened())
    page.get_by_role("button", name="Connect WhatsApp").click()
    page.get_by_role("button", name="Simulate scan").click()
    page.get_by_role("button", name="Add a number").click()
    page.locator("article").last.get_by_role("button", name="Simulate scan").wait_for()
    assert page.evaluate("Object.keys(sessionStorage).includes('wpp-client:pending-number')")
    page.locator("article").last.get_by_role("button", name="Cancel").click()
    expect(page.locator("article")).to_have_count(1)
    expect(page.get_by_role("button", name="Add a number")).to_be_visible()
    assert not page.evaluate("Object.keys(sessionStorage).includes('wpp-client:pending-number')")
    assert [row["is_active"] for row in local.stack.supabase.rows()] == [True, False]


FAULTS = {
    "Drops every connection": "WPP Platform cannot be reached",
    "A proxy answers 502": "WPP Platform cannot be reached",
    "Refuses WPP_SECRET": "WhatsApp cannot be connected right now",
    # A new key may be refused for a while, so it is tried until the time is over.
    "Refuses the organization's key": "This took too long",
    "Responds 2 seconds late": "WPP Platform is not responding in time",
    "The answer to “create” is lost": "WPP Platform cannot be reached",
    "Database answers 503": "Our database cannot be reached",
}


@pytest.mark.parametrize(("switch", "message"), FAULTS.items())
def test_each_fault_is_a_clear_message_and_over_with_the_fault(opened: Any, switch: str, message: str) -> None:
    page = signed_in(opened())
    page.get_by_label(switch).check()
    expect(page.locator("#faults-on")).to_have_text("1 on")
    page.get_by_role("button", name="Connect WhatsApp").click()
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    expect(page.locator("article").get_by_role("alert")).to_contain_text(message)

    page.get_by_label(switch).uncheck()
    expect(page.locator("#faults-on")).to_be_hidden()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("figure img")).to_be_visible()
    expect(page.locator("article").get_by_role("alert")).to_be_empty()


def test_the_inspector_opens_to_requests_and_responses_replays_and_copies_a_call_that_works(
    opened: Any, local: Local
) -> None:
    page = signed_in(opened(permissions=["clipboard-read", "clipboard-write"]))
    page.get_by_role("button", name="Connect WhatsApp").click()
    calls = page.locator(".call").filter(has_text="wpp-create")
    calls.locator("summary").first.click()
    upstream = calls.locator(".upstream")
    expect(upstream.filter(has_text="Supabase auth.user")).to_have_count(1)
    creation = upstream.filter(has_text="WPP Platform create")
    creation.locator("summary").click()
    expect(creation.locator("pre.request")).to_contain_text("POST /api/integrations/wpp/create")
    expect(creation.locator("pre.request")).to_contain_text('"organizationId"')
    expect(creation.locator("pre.response")).to_contain_text('"session"')
    expect(calls.locator("pre.answer")).to_contain_text('"success": true')
    expect(page.locator("#rows")).to_contain_text('"wppAccountNumber"')

    calls.get_by_role("button", name="Copy as curl").click()
    expect(calls.get_by_role("button", name="Copied")).to_be_visible()
    line = page.evaluate("navigator.clipboard.readText()")
    answer = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True).stdout
    assert '"success":true' in answer
    expect(calls).to_have_count(2)
    calls.last.get_by_role("button", name="Replay").click()
    expect(calls).to_have_count(3)
    assert len(local.stack.platform.clients) == 1


def test_the_inspector_folds_repeated_polls_and_shows_errors_alone(opened: Any, local: Local) -> None:
    page = opened()
    signed_in(page)
    page.get_by_role("button", name="Connect WhatsApp").click()
    polls = page.locator(".call").filter(has_text="wpp-status").filter(has_text="qr_issued")
    for _ in range(3):
        page.clock.run_for(3000)
    expect(polls).to_have_count(1)
    expect(polls).to_contain_text(re.compile("×[2-9]"))
    page.get_by_label("Database answers 503").check()
    page.clock.run_for(3000)
    failures = page.locator(".call").filter(has_text="supabase_unavailable")
    expect(failures).to_have_count(1)
    page.get_by_role("switch", name="Errors only").check()
    expect(failures).to_be_visible()
    expect(polls).to_be_hidden()


def test_who_is_signed_out_is_told_so(opened: Any) -> None:
    page = signed_in(opened())
    page.get_by_role("button", name="25 h: user session expires").click()
    expect(page.locator("#clock")).to_have_text("+25 hr")
    page.get_by_role("button", name="Connect WhatsApp").click()
    expect(page.locator("#trouble")).to_have_text("Your session has expired. Sign in again.")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_a_wrong_password_typed_while_the_page_loads_is_told_in_its_language(opened: Any) -> None:
    page = opened(locale="ru-RU")
    expect(page.get_by_role("button", name="Войти")).to_be_enabled()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/_page/supabase.js", hold, times=1)
    with page.expect_request("**/_page/supabase.js"):
        page.reload()
    page.get_by_label("Пароль").fill("wrong")
    held[0].continue_()
    page.get_by_role("button", name="Войти").click()
    expect(page.locator("#trouble")).to_have_text("Неверная почта или пароль.")


def test_a_reset_asks_first_and_keeps_the_user(opened: Any, local: Local) -> None:
    page = signed_in(opened())
    page.get_by_role("button", name="Connect WhatsApp").click()
    expect(page.locator("figure img")).to_be_visible()
    page.get_by_role("button", name="Reset everything").click()
    page.get_by_role("button", name="Keep it").click()
    assert len(local.stack.supabase.rows()) == 1
    page.get_by_role("button", name="Reset everything").click()
    page.locator("dialog").get_by_role("button", name="Reset everything").click()
    wait_for(lambda: local.stack.supabase.rows() == [])
    expect(page.get_by_role("button", name="Connect WhatsApp")).to_be_visible()
    expect(page.locator("#user")).to_have_text("demo@example.com")


def test_the_strip_shows_where_each_system_is_and_whether_it_runs(opened: Any, local: Local) -> None:
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    expect(page.get_by_role("img", name="running")).to_have_count(3)
    page.get_by_role("button", name="WPP_SECRET").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == local.stack.platform.wpp_secret
    page.route("**/_page/health", lambda route: route.fulfill(json={"supabase": True, "functions": True}))
    page.clock.run_for(5000)
    expect(page.get_by_role("listitem").filter(has_text="WPP Platform").get_by_label("not reachable")).to_be_visible()


def test_it_speaks_russian_to_a_russian_browser_and_needs_no_mouse(opened: Any) -> None:
    page = opened(locale="ru-RU")
    sign_in = page.get_by_role("button", name="Войти")
    expect(sign_in).to_be_enabled()
    page.get_by_label("Пароль").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Подключить WhatsApp")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("figure img")).to_be_visible()
    expect(page.get_by_role("button", name="Имитировать сканирование")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Отключить")).to_be_focused()
    assert page.locator("html").get_attribute("lang") == "ru"
    page.get_by_role("button", name="20 с: новый QR-код").click()
    expect(page.locator("#clock")).to_have_text("+20 с")
    expect(page.locator(".call").last).to_contain_text(re.compile(r"мс · \d+ вызов.*обращени"))
    counted = page.evaluate("import('/_page/texts.js').then((t) => [1, 3, 11, 22].map((n) => t.counted(n, 'calls')))")
    assert counted == ["1 вызов", "3 вызова", "11 вызовов", "22 вызова"]
    # Nothing is left in the other language.
    assert not re.search(
        r"\b(Connect|Sign|Scan|Calls|Reset|Copy|Number|With|When)\b",
        page.locator("body").inner_text().replace("Linked", ""),
    )


def test_a_page_whose_stack_has_ended_says_so(opened: Any, local: Local) -> None:
    page = signed_in(opened())
    page.route("**/_page/**", lambda route: route.abort())
    expect(page.locator("#trouble")).to_contain_text("The local stack has stopped")
    page.unroute("**/_page/**")
    expect(page.locator("#trouble")).to_be_empty()


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
    signed_in(page)
    page.get_by_role("button", name="Connect WhatsApp").click()
    page.get_by_role("button", name="Simulate scan").click()
    expect(page.locator("article").get_by_role("status")).to_contain_text("Connected")
    (row,) = local.stack.supabase.rows()
    local.stack.platform.disconnect(row["settings"]["wppAccountNumber"])
    page.clock.run_for(10_000)
    expect(page.locator("article").get_by_role("status")).not_to_contain_text("Connected")


def test_an_outdated_connection_is_not_shown_beside_an_error(opened: Any, local: Local) -> None:
    page = opened()
    signed_in(page)
    card = page.locator("article")
    page.get_by_role("button", name="Connect WhatsApp").click()
    page.get_by_role("button", name="Simulate scan").click()
    expect(card.get_by_role("status")).to_contain_text("Connected")
    page.get_by_label("Drops every connection").check()
    page.clock.run_for(10_000)
    expect(card.get_by_role("alert")).to_contain_text("WPP Platform cannot be reached")
    expect(card.locator(".pill")).to_have_text("Unknown")
    expect(card.get_by_role("status")).to_have_text("The status cannot be read right now. Trying again…")
    page.get_by_label("Drops every connection").uncheck()
    page.clock.run_for(10_000)
    expect(card.get_by_role("alert")).to_be_empty()
    expect(card.get_by_role("status")).to_contain_text("Connected")


def test_without_supabase_js_the_page_says_so_and_the_rest_of_it_works(opened: Any, local: Local) -> None:
    page = opened()
    page.route(
        "**/_page/supabase.js", lambda route: route.fulfill(status=503, body="registry.example cannot be reached")
    )
    page.reload()
    expect(page.locator("#trouble")).to_contain_text("supabase-js could not be fetched")
    expect(page.locator("#trouble")).to_contain_text("registry.example cannot be reached")
    expect(page.get_by_role("button", name="Sign in")).to_be_disabled()
    expect(page.locator("#fetched")).to_be_hidden()
    page.get_by_label("Database answers 503").check()
    expect(page.locator("#faults-on")).to_have_text("1 on")
    page.get_by_role("button", name="1 min: three QR codes later").click()
    expect(page.locator("#clock")).to_have_text("+1 min")
    requests.post(f"{local.functions_url}/wpp-status", timeout=10)
    expect(page.locator(".call").filter(has_text="missing_authorization")).to_be_visible()
    page.get_by_role("button", name="Reset everything").click()
    page.locator("dialog").get_by_role("button", name="Reset everything").click()
    expect(page.locator("#faults-on")).to_be_hidden()


@pytest.mark.parametrize("width", [1280, 360])
def test_nothing_overflows_a_wide_or_a_narrow_screen_and_nothing_moves(opened: Any, width: int) -> None:
    page = signed_in(opened(viewport={"width": width, "height": 800}))
    parts = page.locator("article, .stage, article .row, #tools, #inspector")

    def places() -> list[Any]:
        return [parts.nth(index).bounding_box() for index in range(parts.count())]

    def tops() -> list[Any]:
        return [box and (box["x"], box["y"], box["width"]) for box in places()]

    before = tops()
    page.get_by_role("button", name="Connect WhatsApp").click()
    expect(page.locator("figure img")).to_be_visible()
    assert tops() == before
    page.get_by_label("Drops every connection").evaluate("box => box.click()")
    page.clock.run_for(2000)
    expect(page.locator("article").get_by_role("alert")).not_to_be_empty()
    assert tops() == before
    page.locator(".call summary").last.click()
    page.locator(".call").last.locator(".upstream").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_on_a_phone_the_qr_comes_first_and_the_tools_are_folded(opened: Any) -> None:
    page = signed_in(opened(viewport={"width": 360, "height": 740}))
    page.get_by_role("button", name="Connect WhatsApp").click()
    picture = page.locator("figure img")
    expect(picture).to_be_visible()
    box, tools = picture.bounding_box(), page.locator("#tools").bounding_box()
    assert box is not None
    assert tools is not None
    assert box["y"] + box["height"] < min(740, tools["y"])
    expect(page.get_by_label("Drops every connection")).to_be_hidden()


def test_the_description_of_the_api_is_dark_where_the_page_is(opened: Any, local: Local) -> None:
    page = opened(color_scheme="dark")
    page.goto(f"{local.url}/docs", wait_until="commit")
    expect(page.locator("html")).to_have_class("dark-mode")
    page.emulate_media(color_scheme="light")
    expect(page.locator("html")).not_to_have_class("dark-mode")
