"""Take the pictures of the page in docs/; `make web-pictures` runs it."""

from contextlib import closing
from pathlib import Path

from playwright.sync_api import sync_playwright

from fake_daemon import FakeDaemon
from stemd.daemon.control.interfaces.web_server import WebServer

DOCS = Path(__file__).parents[2] / "docs"
LEVELS = {"in": 0.7, "vocals": 0.3, "drums": 0.5, "bass": 0.35, "other": 0.2}
SIZES = {
    "page-phone": {"viewport": {"width": 360, "height": 700}, "color_scheme": "light"},
    "page-desktop": {"viewport": {"width": 760, "height": 640}, "color_scheme": "dark"},
}


def main() -> None:
    """Show a daemon that plays four stems, and take a picture at each size."""
    daemon = FakeDaemon()
    daemon.mixer.attach(tuple(LEVELS)[1:], lambda *_: None)
    daemon.mixer.set("vocals", gain=-24.0)
    daemon.mixer.set("drums", solo=False, gain=2.0)
    daemon.mixer.set("other", mute=True)
    strips = {stem: strip.model_dump() for stem, strip in daemon.mixer.strips().items()}
    daemon.figures = {"mixer": strips, "stems": [*strips], "networks": "4stems"}
    daemon.peaks = lambda: {name: [level, level] for name, level in LEVELS.items()}
    server = WebServer("127.0.0.1", 0, None, daemon)
    server.start()
    with closing(server), sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        for name, size in SIZES.items():
            page = browser.new_page(**size)
            page.goto(server.address())
            page.wait_for_selector("[data-meter=in][aria-valuenow='-3']")
            page.screenshot(path=DOCS / f"{name}.png", full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
