"""Runs `clipdet serve` and opens its page in a headless Chromium, as users have both.

CLIPDET names the program, and PAGE_SHOTS a folder for screenshots to look at.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

REPO = Path(__file__).resolve().parents[3]
PROGRAM = Path(os.environ.get("CLIPDET", REPO / "clipdet"))
PHOTOS = REPO / "testdata" / "photos"
SCENES = REPO / "testdata" / "images"

# Chromium looks for a camera and finds a moving picture.
SWITCHES = [
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
PATIENCE = 60_000  # milliseconds; for a machine on which much else runs


@dataclass
class Service:
    """A running `clipdet serve`."""

    url: str
    process: subprocess.Popen
    log: Path

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(30)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def serving(folder: Path, *flags: str, port: int = 0):
    """Runs a service until the end of the block."""
    port = port or free_port()
    log = folder / f"serve-{port}.log"
    with log.open("ab") as out:
        command = [PROGRAM, "serve", "--addr", f"127.0.0.1:{port}", "--timeout", "10m", *flags]
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}/"
        for _ in range(600):
            assert process.poll() is None, f"the service ended: {log.read_text()}"
            with contextlib.suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(url + "healthz"):
                break
            time.sleep(0.1)
        else:
            raise AssertionError(f"no answer after a minute: {log.read_text()}")
        yield Service(url, process, log)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    """A service with an index of the sample scenes, for all tests that need no other."""
    folder = tmp_path_factory.mktemp("serve")
    subprocess.run([PROGRAM, "index", "--out", folder / "index", SCENES], check=True, capture_output=True)
    with serving(folder, "--index", str(folder / "index")) as running:
        yield running


@pytest.fixture
def serve(tmp_path):
    """Starts services with other flags, and ends them after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *flags, port=0: stack.enter_context(serving(tmp_path, *flags, port=port))


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=SWITCHES)
        yield browser
        browser.close()


@dataclass
class Watch:
    """What the page did that it must not do, and what it asked of the service."""

    page: Page
    faults: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()  # parts of the browser's own messages of failed requests

    def console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(message.text)

    def request(self, request: Request) -> None:
        self.requests.append(f"{request.method} {request.url}")

    def asked(self, path: str) -> int:
        return sum(path in request for request in self.requests)

    def verify(self, origin: str) -> None:
        faults = [fault for fault in self.faults if not any(part in fault for part in self.expected)]
        assert faults == [], "the browser complains"
        away = [r for r in self.requests if not r.split(" ", 1)[1].startswith((origin, "blob:", "data:", "about:"))]
        assert away == [], "the page asks somebody else"


def opened(context: BrowserContext, url: str) -> tuple[Page, Watch]:
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    watch = Watch(page)
    page.on("console", watch.console)
    page.on("pageerror", lambda error: watch.faults.append(str(error)))
    page.on("request", watch.request)
    page.goto(url)
    page.wait_for_selector("#service:not(:empty), .message, dialog[open]", state="attached")
    return page, watch


@pytest.fixture
def visit(browser: Browser):
    """Opens the page of a service: visit(url, **context) is (page, watch). Faults fail the test."""
    watches = []
    with contextlib.ExitStack() as stack:

        def one(url: str, **options) -> tuple[Page, Watch]:
            context = browser.new_context(
                **{"viewport": {"width": 1400, "height": 900}, "accept_downloads": True, **options}
            )
            stack.callback(context.close)
            page, watch = opened(context, url)
            watches.append((watch, url.split("#")[0]))
            return page, watch

        yield one
        for watch, origin in watches:
            watch.verify(origin)


@pytest.fixture
def shot():
    """Saves a screenshot for people, if PAGE_SHOTS names a folder."""
    folder = os.environ.get("PAGE_SHOTS")

    def take(page: Page, name: str, whole: bool = True) -> None:
        if folder:
            page.wait_for_timeout(200)
            page.screenshot(path=Path(folder) / f"{name}.png", full_page=whole)

    return take
