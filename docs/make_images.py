"""
Takes the pictures of the dashboard that the pages show: `python docs/make_images.py LINK`.

LINK is the dashboard's link that `make demo` prints, which opens once. Within a quarter of an hour of the
play the charts show all of it. Look at each picture before it is committed.
"""

import shutil
import sys
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from playwright.sync_api import Page, expect, sync_playwright

TARGET: Final = Path(__file__).parent / "images"
PICTURES: Final = (("overview", "", 1_000), ("routing", "routing", 1_240))
"""Name, path and height of each."""
WIDTH: Final = 1_440
SETTLED_MS: Final = 3_000
WAIT_MS: Final = 60_000


def take(page: Page, address: str, name: str, height: int) -> None:
    """
    Take one picture once its page has drawn its charts.
    """
    page.set_viewport_size({"width": WIDTH, "height": height})
    page.goto(address)
    expect(page.get_by_test_id("stVegaLiteChart").first.locator("canvas, svg").first).to_be_visible(
        timeout=WAIT_MS
    )
    page.wait_for_timeout(SETTLED_MS)
    page.screenshot(path=str(TARGET / f"{name}.png"))


def main(link: str) -> None:
    """
    Open the dashboard once and take every picture.
    """
    parts = urlsplit(link)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = browser.new_page()
        page.goto(link)
        for name, path, height in PICTURES:
            take(page, f"{parts.scheme}://{parts.netloc}/{path}", name, height)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
