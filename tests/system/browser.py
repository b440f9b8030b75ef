"""Pictures of pages as a person sees them: a headless Chromium of this machine, spoken to by its DevTools protocol."""

from __future__ import annotations

import base64
import io
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests
from PIL import Image
from websockets.sync.client import ClientConnection, connect

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
WIDTH = 1280
START_SECONDS, LOAD_SECONDS = 120, 120
SETTLE_SECONDS = 4  # for what fades in and for graphs that find their place


def find_browser() -> str | None:
    """The program, or None where there is none."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


class Browser:
    """One tab.

    Args:
        socket: to the tab.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._numbers = socket, itertools.count(1)
        self._call("Page.enable")

    def picture(self, address: str, *, shows: str, height: int, close: str = "") -> Image.Image:
        """What a page looks like once it shows a text.

        Args:
            address: of the page.
            shows: a text that is there when it has loaded.
            height: of the window, in pixels.
            close: the label of a button that is pressed first, if there is one: of a panel in the way.

        Raises:
            TimeoutError: if the text does not come.
        """
        size = {"width": WIDTH, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        self._call("Page.navigate", url="about:blank")  # else another #fragment would be no new page
        self._call("Page.navigate", url=address)
        deadline = time.monotonic() + LOAD_SECONDS
        while shows not in (text := self._text()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{address}: no {shows!r} within {LOAD_SECONDS} s, but: {text[:500]!r}")
            time.sleep(0.5)
        time.sleep(SETTLE_SECONDS)
        if close:
            button = f"document.querySelector('button[aria-label={json.dumps(close)}]')"
            self._call("Runtime.evaluate", expression=f"{button}?.click()")
            time.sleep(1)
        data = self._call("Page.captureScreenshot", format="png")["data"]
        return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")

    def _text(self) -> str:
        asked = self._call("Runtime.evaluate", expression="document.body ? document.body.innerText : ''")
        return str(asked["result"].get("value", ""))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(timeout=LOAD_SECONDS))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser with a profile of its own, until the block is left.

    Raises:
        FileNotFoundError: if this machine has none.
    """
    program = find_browser()
    if program is None:
        raise FileNotFoundError(f"none of {', '.join(PROGRAMS)} on this machine; apt-get install chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        options += ["--disable-dev-shm-usage", "--remote-debugging-port=0", f"--user-data-dir={profile}"]
        with subprocess.Popen(
            [program, *options, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                with connect(_tab(Path(profile), process), max_size=None) as socket:
                    yield Browser(socket)
            finally:
                process.terminate()


def stacked(pictures: list[Image.Image], path: Path, *, colours: int = 64) -> None:
    """Write pictures below each other into one PNG, with few colours, for it is to be in a repository."""
    whole = Image.new("RGB", (WIDTH, sum(picture.height for picture in pictures)), "white")
    top = 0
    for picture in pictures:
        whole.paste(picture, (0, top))
        top += picture.height
    path.parent.mkdir(parents=True, exist_ok=True)
    whole.quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)


def _tab(profile: Path, process: subprocess.Popen[bytes]) -> str:
    """The address of the first tab's socket."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(FileNotFoundError, IndexError, requests.RequestException):
            port = (profile / "DevToolsActivePort").read_text().split()[0]
            tabs = requests.get(f"http://127.0.0.1:{port}/json/list", timeout=10).json()
            return next(str(tab["webSocketDebuggerUrl"]) for tab in tabs if tab["type"] == "page")
        time.sleep(0.2)
    raise TimeoutError(f"the browser did not start within {START_SECONDS} s")
