"""`make screenshots`: the pictures of the README, taken from the running program."""

from __future__ import annotations

import os
import pty
import shutil
import sys
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, ViewportSize, expect, sync_playwright
from rich.console import Console
from rich.text import Text

from emulator.local import Local, local_stack
from emulator.processes import ROOT

_FOLDER = Path(__file__).with_name("pictures")
_QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
_SIZES: dict[str, ViewportSize] = {"wide": {"width": 1240, "height": 900}, "phone": {"width": 390, "height": 844}}
_COLOURS: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def main() -> None:
    _FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_QUIET)
        with local_stack(0, show=False, own={}) as local:
            for size in _SIZES:
                for colours in _COLOURS:
                    _page(browser, local, size, colours)
        _terminal(browser)
        browser.close()
    for picture in sorted(_FOLDER.glob("*.png")):
        print(picture.relative_to(ROOT))


def _page(browser: Browser, local: Local, size: str, colours: Literal["light", "dark"]) -> None:
    context = browser.new_context(locale="en-US", viewport=_SIZES[size], color_scheme=colours, reduced_motion="reduce")
    page = context.new_page()
    page.request.post(f"{local.url}/_page/reset", data="{}")
    page.goto(f"{local.url}/")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Connect WhatsApp").click()
    expect(page.locator("figure img")).to_be_visible(timeout=10_000)
    page.locator(".call").filter(has_text="wpp-create").locator("summary").first.click()
    page.locator(".upstream").first.wait_for()
    page.screenshot(path=_FOLDER / f"page-{size}-{colours}.png", full_page=True)
    context.close()


def _terminal(browser: Browser) -> None:
    """What `make demo` shows on a terminal, colours included."""
    shown = bytearray()

    def keep(descriptor: int) -> bytes:
        data = os.read(descriptor, 1024)
        shown.extend(data)
        return data

    stdout = os.dup(1)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        pty.spawn([sys.executable, "-m", "emulator", "demo", "--port", "0"], keep)
    os.dup2(stdout, 1)
    lines = shown.decode(errors="replace").replace("\r\n", "\n").split("\n")
    # Of a line that was overwritten, the last text.
    text = "$ make demo\n" + "\n".join(line.rsplit("\r", 1)[-1] for line in lines)
    console = Console(record=True, width=100, file=Path(os.devnull).open("w"))  # noqa: SIM115
    console.print(Text.from_ansi(text))
    page = browser.new_page(viewport={"width": 900, "height": 400})
    style = "<style>body{background:#16211d;color:#e6edea;margin:1rem} pre{line-height:1.18!important}</style>"
    page.set_content(style + console.export_html(inline_styles=True, code_format="<pre>{code}</pre>"))
    page.screenshot(path=_FOLDER / "terminal.png", full_page=True)
    page.close()


if __name__ == "__main__":
    main()
