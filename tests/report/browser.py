"""A headless Chromium driven over its debugging pipe (Chrome DevTools Protocol), standard library alone.

The pipe carries JSON messages that end in a zero byte: Chromium reads file descriptor 3 and writes 4. No port is
opened. Every request that a page makes is recorded, so that a test can say that there was none.
"""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--autoplay-policy=no-user-gesture-required",
    "--mute-audio",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


class Browser:
    """One Chromium process. Use as a context manager."""

    def __init__(self, binary: str) -> None:
        self.profile = tempfile.mkdtemp(prefix="merkit-chromium-")
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        child = [fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (to_read, to_write)]
        actions = [(os.POSIX_SPAWN_DUP2, child[0], 3), (os.POSIX_SPAWN_DUP2, child[1], 4)]
        null = os.open(os.devnull, os.O_RDWR)
        actions += [(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1, 2)]
        args = [binary, *_FLAGS, f"--user-data-dir={self.profile}", "about:blank"]
        self.pid = os.posix_spawn(binary, args, os.environ, file_actions=actions, setpgroup=0)
        for fd in (to_read, to_write, null, *child):
            os.close(fd)
        self._buffer = b""
        self._next = 0
        self._events: list[dict[str, Any]] = []

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            self.call("Browser.close", timeout=10)
        for fd in (self._read, self._write):
            os.close(fd)
        for _ in range(50):
            if os.waitpid(self.pid, os.WNOHANG)[0]:
                break
            time.sleep(0.1)
        else:
            os.killpg(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        shutil.rmtree(self.profile, ignore_errors=True)

    def call(self, method: str, params: dict | None = None, session: str | None = None, timeout: float = 60.0) -> dict:
        """Send one command and wait for its answer; events that arrive meanwhile are kept."""
        self._next += 1
        message = {"id": self._next, "method": method, "params": params or {}}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + timeout
        while True:
            answer = self._receive(end - time.monotonic(), method)
            if answer.get("id") == self._next:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            if "method" in answer:
                self._events.append(answer)

    def _receive(self, timeout: float, what: str) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if timeout <= 0 or not select.select([self._read], [], [], timeout)[0]:
                raise TimeoutError(f"Chromium did not answer {what}")
            chunk = os.read(self._read, 1 << 20)
            if not chunk:
                raise OSError("Chromium closed the pipe")
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def open(self, path: Path, *, width: int = 1280, height: int = 900, dark: bool = False, hash: str = "") -> "Page":
        """Open a file in a fresh tab and wait until it says that it is ready."""
        return Page(self, path, width, height, dark, hash)


class Page:
    """One tab."""

    def __init__(self, browser: Browser, path: Path, width: int, height: int, dark: bool, hash: str) -> None:
        self.browser = browser
        # A context of its own: what an earlier page kept (a chosen theme) is not there.
        self.context = browser.call("Target.createBrowserContext")["browserContextId"]
        place = {"url": "about:blank", "browserContextId": self.context}
        self.target = browser.call("Target.createTarget", place)["targetId"]
        attached = browser.call("Target.attachToTarget", {"targetId": self.target, "flatten": True})
        self.session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.resize(width, height)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", {"features": scheme})
        self.url = path.resolve().as_uri()
        self.call("Page.navigate", {"url": self.url + (f"#{hash}" if hash else "")})
        self.wait("(d => d && (d.ready === 'yes' || !!d.faults))(document.documentElement?.dataset)")

    def __enter__(self) -> "Page":
        return self

    def __exit__(self, *_: object) -> None:
        self.browser.call("Target.disposeBrowserContext", {"browserContextId": self.context})

    def call(self, method: str, params: dict | None = None) -> dict:
        return self.browser.call(method, params, self.session)

    def resize(self, width: int, height: int, ratio: float = 1.0) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": ratio, "mobile": width < 640}
        self.call("Emulation.setDeviceMetricsOverride", metrics)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression comes to; a promise is awaited."""
        params = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        answer = self.call("Runtime.evaluate", params)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"].get("exception", {}).get("description", expression))
        return answer["result"].get("value")

    def data(self, name: str) -> str | None:
        """An entry of the document's dataset, where the page reports about itself."""
        return self.value(f"document.documentElement.dataset[{name!r}] ?? null")

    def wait(self, expression: str, timeout: float = 30.0) -> None:
        end = time.monotonic() + timeout
        while not self.value(expression):
            if time.monotonic() > end:
                raise TimeoutError(f"never true: {expression}")
            time.sleep(0.05)

    def settle(self) -> None:
        """Wait for two frames: what was asked for has been drawn."""
        self.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")

    def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            params = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", params)

    def key(self, name: str, *, shift: bool = False) -> None:
        text = name if len(name) == 1 else ""
        params = {"key": name, "code": name, "modifiers": 8 if shift else 0}
        self.call("Input.dispatchKeyEvent", {"type": "keyDown", "text": text, **params})
        self.call("Input.dispatchKeyEvent", {"type": "keyUp", **params})

    def box(self, selector: str) -> dict[str, float]:
        return self.value(f"document.querySelector({selector!r}).getBoundingClientRect().toJSON()")

    def requests(self) -> list[str]:
        """Addresses this tab has asked for, the page itself left out."""
        self.value("1")  # drains events up to now
        found = [
            event["params"]["request"]["url"]
            for event in self.browser._events
            if event.get("sessionId") == self.session and event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in found if url.partition("#")[0] != self.url]

    def screenshot(self, path: Path, *, full: bool = True) -> Path:
        self.settle()
        params = {"format": "png", "captureBeyondViewport": full}
        if full:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            params["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", params)["data"]))
        return path
