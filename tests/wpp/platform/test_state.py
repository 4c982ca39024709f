"""What the platform's words and fields for a session's state and its QR mean to us."""

from __future__ import annotations

import pytest

from wpp.platform.state import SessionState, State, read_qr, read_state

WORDS = {
    State.CONNECTED: ["connected", "ready", "open", "authenticated", "inChat", "isLogged", "normal"],
    State.STARTING: ["starting", "pending", "opening", "initBrowser", "initWhatsapp", "openedWhatsapp", "initializing",
                     "connecting"],
    State.QR_REQUIRED: ["qr_required", "qr", "qrcode", "unpaired", "scan_qr_code"],
    State.PAIRING: ["pairing", "syncing", "resuming", "qrReadSuccess", "timeout", "phoneNotConnected"],
    State.ENDED: ["offline", "disconnected", "closed", "logout", "notLogged", "browserClose", "disconnectedMobile",
                  "desconnectedMobile", "autocloseCalled", "serverClose", "qrReadFail", "qrReadError", "UNPAIRED_IDLE",
                  "failed", "stopped", "unlaunched"],
}  # fmt: skip
BLOCKED = ["conflict", "TOS_BLOCK", "SMB_TOS_BLOCK", "PROXYBLOCK", "DEPRECATED_VERSION"]
PASSKEY_WARNING = (
    "WhatsApp asks this account for a passkey, which the platform may be unable to answer: "
    "continue on the phone, or link the number from a phone without a passkey"
)


@pytest.mark.parametrize(("state", "word"), [(state, word) for state, words in WORDS.items() for word in words])
def test_a_known_word_is_read_without_a_warning(state: State, word: str) -> None:
    assert read_state({"status": word}) == SessionState(state, None, None)


@pytest.mark.parametrize("word", BLOCKED)
def test_a_session_that_is_blocked_says_so_with_the_platforms_word(word: str) -> None:
    warning = f"the platform reports '{word}': the session cannot be started"
    assert read_state({"status": word}) == SessionState(State.BLOCKED, None, warning)


@pytest.mark.parametrize("word", ["passkey", "PASSKEY-NEEDED", "pass_key required"])
def test_a_passkey_warns_of_what_the_phone_asks_for(word: str) -> None:
    assert read_state({"status": word}) == SessionState(State.PASSKEY, None, PASSKEY_WARNING)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        (" In - Chat\n", State.CONNECTED),
        ("NOT__LOGGED", State.ENDED),
        ("OFF LINE", State.ENDED),
        ("ready" + " " * 59 + "x", State.CONNECTED),  # what follows the first 64 characters is not read
    ],
)
def test_words_are_compared_without_case_and_separators(word: str, state: State) -> None:
    assert read_state({"status": word}) == SessionState(state)


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("qr_scanning", "qr_scanning"),
        ("Not-A State!", "Not-AState"),
        ("<b>ä\n\u0661", "b"),
        ("a" * 50, "a" * 40),
        ("needs a passkey", "needsapasskey"),
        ("ready" + " " * 58 + "x", "ready"),
    ],
)
def test_an_unknown_word_is_shown_as_far_as_it_is_harmless_and_counts_as_qr_required(word: str, shown: str) -> None:
    warning = f"unknown platform state '{shown}', handled as qr_required"
    assert read_state({"status": word}) == SessionState(State.QR_REQUIRED, None, warning)


@pytest.mark.parametrize(
    ("body", "state"),
    [
        ({"state": "open"}, State.CONNECTED),
        ({"status": "", "state": "open"}, State.CONNECTED),
        ({"status": None, "state": "open"}, State.CONNECTED),
        ({"status": "offline", "state": "open"}, State.ENDED),
    ],
)
def test_the_state_is_under_status_or_else_under_state(body: object, state: State) -> None:
    assert read_state(body) == SessionState(state)


@pytest.mark.parametrize("body", [None, [], "open", {}, {"status": 3, "state": "open"}, {"state": ["open"]}])
def test_a_body_without_a_word_has_no_state(body: object) -> None:
    assert read_state(body) is None


@pytest.mark.parametrize(
    "body",
    [
        {"qr": "2@x"},
        {"qrCode": "2@x"},
        {"qrcode": "2@x"},
        {"data": {"qr": "2@x"}},
        {"qr": "2@x", "qrCode": "other", "qrcode": "other", "data": {"qr": "other"}},
        {"qr": "", "qrCode": None, "qrcode": "2@x", "data": {"qr": "other"}},
        {"qr": 5, "data": {"qr": "2@x"}},
    ],
)
def test_the_qr_is_found_under_each_of_its_names(body: object) -> None:
    assert read_qr(body) == "2@x"


@pytest.mark.parametrize("body", [None, [], "2@x", {}, {"qr": None}, {"qr": ""}, {"data": "2@x"}, {"data": {"qr": 3}}])
def test_a_body_without_a_qr_has_none_yet(body: object) -> None:
    assert read_qr(body) is None


@pytest.mark.parametrize("state", State)
def test_only_a_connected_number_and_a_qr_to_scan_need_no_waiting(state: State) -> None:
    assert SessionState(state).is_settled == (state is State.CONNECTED)
    assert SessionState(state, "2@x").is_settled


def test_a_state_with_a_qr_can_be_scanned_and_keeps_its_warning() -> None:
    starting = SessionState(State.STARTING, warning="w")
    assert starting.with_qr("2@x") == SessionState(State.QR_REQUIRED, "2@x", "w")
    assert starting.with_qr(None) == starting
    assert starting.with_qr("") == starting


def test_a_state_is_shown_without_its_qr() -> None:
    assert repr(SessionState(State.QR_REQUIRED, "2@x")) == "SessionState('qr_required', qr=***)"
    assert repr(SessionState(State.ENDED)) == "SessionState('offline', qr=None)"
