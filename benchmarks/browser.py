"""Headless Chromium with one page in it."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


@contextmanager
def chromium(profile: Path, *, width: int = 1280, height: int = 1000) -> Generator[Chrome]:
    """A browser with a fresh profile that looks nothing up."""
    options = ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
        options.add_argument(flag)  # pyright: ignore[reportUnknownMemberType]
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.binary_location = _program("chromium")
    browser = Chrome(options=options, service=Service(executable_path=_program("chromedriver")))
    try:
        yield browser
    finally:
        browser.quit()


def _program(name: str) -> str:
    found = shutil.which(name)
    assert found, f"{name} is not installed: apt-get install -y chromium chromium-driver"
    return found
