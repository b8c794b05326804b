"""A headless Chromium, driven over the pipe of its DevTools protocol."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from typing import Any

DEADLINE = 60


class BrowserError(AssertionError):
    pass


class Browser:
    """One page of one browser, with a profile of its own. Everything that goes wrong in the page is in `errors`."""

    def __init__(self) -> None:
        self.profile = tempfile.TemporaryDirectory(prefix="mh-browser-")
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.buffer = b""
        self.last = 0
        self.session: str | None = None
        self.process, self.to, self.at = self._start()
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> tuple[subprocess.Popen, int, int]:
        """Chromium reads requests from descriptor 3 and writes answers to 4, each ending with a NUL."""
        ours_in, written = os.pipe()
        read, ours_out = os.pipe()
        theirs_in, theirs_out = (fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (read, written)) # above 3 and 4
        os.close(read)
        os.close(written)
        program = shutil.which("chromium") or shutil.which("google-chrome") or "chromium"
        shell = f"exec {program} \"$@\" 3<&{theirs_in} 4>&{theirs_out}"
        process = subprocess.Popen(
            ["bash", "-c", shell, "browser", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
             "--no-first-run", "--disable-extensions", f"--user-data-dir={self.profile.name}", "--remote-debugging-pipe"],
            pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        os.close(theirs_in)
        os.close(theirs_out)
        return process, ours_out, ours_in

    def close(self) -> None:
        try:
            self.session = None
            self._call("Browser.close")
        except (BrowserError, OSError):
            self.process.kill()
        self.process.wait(DEADLINE)
        os.close(self.to)
        os.close(self.at)
        self.profile.cleanup()

    # ---- the protocol ----

    def _message(self, until: float) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            if not select.select([self.at], [], [], max(0, until - time.monotonic()))[0]:
                raise BrowserError("the browser does not answer")
            data = os.read(self.at, 1 << 16)
            if not data:
                raise BrowserError("the browser has ended")
            self.buffer += data
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def _note(self, message: dict[str, Any]) -> None:
        method, parameters = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.errors.append(parameters["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.last += 1
        request: dict[str, Any] = {"id": self.last, "method": method, "params": parameters}
        if self.session:
            request["sessionId"] = self.session
        os.write(self.to, json.dumps(request).encode() + b"\0")
        return self._wait(lambda message: message.get("id") == self.last)

    def _wait(self, is_wanted: Any) -> dict[str, Any]:
        until = time.monotonic() + DEADLINE
        while True:
            message = self._message(until)
            self._note(message)
            if is_wanted(message):
                if "error" in message:
                    raise BrowserError(message["error"]["message"])
                return message.get("result", {})

    # ---- what a test does ----

    def view(self, width: int, height: int, scheme: str = "light", mobile: bool = False) -> None:
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, path: str) -> None:
        self.errors.clear()
        self.requests.clear()
        self._call("Page.navigate", url="file://" + os.path.abspath(path))
        self._wait(lambda message: message.get("method") == "Page.loadEventFired")
        self.settle()

    def settle(self) -> None:
        """Wait until what the page does before it draws is done."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(answer["exceptionDetails"].get("exception", {}).get("description", "an exception"))
        return answer["result"].get("value")

    def press(self, key: str, code: int, text: str = "") -> None:
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self._call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self._call("Input.dispatchKeyEvent", type="keyUp", **common)

    def picture(self, path: str, whole: bool = True) -> None:
        data = self._call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))
