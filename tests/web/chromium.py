"""A headless Chromium, spoken to over its own pipe: the DevTools protocol without a library for web sockets."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import fcntl
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
#: Puts the pipe's ends where Chromium looks for them, then becomes Chromium.
_LAUNCH = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--no-first-run",
    "--remote-debugging-pipe",
)
#: Seconds for one answer of the browser, and for a condition on the page to come true.
ANSWER_S, PATIENCE_S = 30.0, 20.0


def find_chromium() -> str | None:
    """Find the browser: `AUTOPILOT_CHROMIUM`, or one of its usual names on the path."""
    given = os.environ.get("AUTOPILOT_CHROMIUM")
    return given or next((path for name in _NAMES if (path := shutil.which(name))), None)


class Page:
    """One tab."""

    def __init__(self, browser: Browser, session: str, context: str) -> None:
        self._browser, self._session = browser, session
        #: What its cookies and permissions belong to.
        self.context = context
        #: What went wrong in it: uncaught exceptions, console errors, refused resources.
        self.complaints: list[str] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol."""
        return await self._browser.call(method, params, self._session)

    async def close(self) -> None:
        """Close the tab."""
        await self.call("Page.close")

    async def open(self, url: str) -> None:
        """Go to an address and wait until its scripts have been loaded."""
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def evaluate(self, script: str) -> Any:
        """Return the value of an expression; promises are awaited."""
        answer = await self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            raise AssertionError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait for an expression to become true."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while not await self.evaluate(condition):
            if asyncio.get_running_loop().time() > deadline:
                text = await self.evaluate("document.body.innerText")
                raise AssertionError(f"never true: {condition}\n{self.complaints}\n{text}")
            await asyncio.sleep(0.05)

    async def text(self, selector: str = "body") -> str:
        """Return what a reader sees of an element."""
        return str(await self.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    async def type(self, text: str) -> None:
        """Type a text into what has the focus."""
        await self.call("Input.insertText", text=text)

    async def press(self, key: str, code: int) -> None:
        """Press a key, as a person would."""
        text = {"text": "\r" if key == "Enter" else key} if key == "Enter" or len(key) == 1 else {}
        for type_ in ("keyDown", "keyUp"):
            await self.call(
                "Input.dispatchKeyEvent", type=type_, key=key, code=key, windowsVirtualKeyCode=code, **text
            )

    async def shape(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Set the size of the window and the colour scheme."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        # They take up room here and lie above the page on a phone.
        await self.call("Emulation.setScrollbarsHidden", hidden=True)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def picture(self, path: Path) -> None:
        """Write the whole page as an image."""
        answer = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(answer["data"]))

    def hear(self, method: str, params: dict[str, Any]) -> None:
        """Take note of what the browser says about this tab."""
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and params["type"] == "error":
            self.complaints.append(json.dumps(params["args"]))


class Browser:
    """One Chromium process."""

    def __init__(self, reader: asyncio.StreamReader, write_to: int) -> None:
        self._reader, self._write_to = reader, write_to
        self._number = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}

    async def call(self, method: str, params: dict[str, Any], session: str = "") -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        command: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if session:
            command["sessionId"] = session
        os.write(self._write_to, json.dumps(command).encode() + b"\0")
        async with asyncio.timeout(ANSWER_S):
            result: dict[str, Any] = await answer
        return result

    async def new_page(self) -> Page:
        """Open a tab with cookies of its own."""
        context = await self.call("Target.createBrowserContext", {})
        target = await self.call(
            "Target.createTarget", {"url": "about:blank", "browserContextId": context["browserContextId"]}
        )
        attached = await self.call("Target.attachToTarget", {"targetId": target["targetId"], "flatten": True})
        page = self._pages[attached["sessionId"]] = Page(
            self, attached["sessionId"], context["browserContextId"]
        )
        for domain in ("Page", "Runtime", "Log", "Network"):
            await page.call(f"{domain}.enable")
        return page

    async def listen(self) -> None:
        """Hand out answers and news until the browser is gone."""
        try:
            while True:
                message = json.loads((await self._reader.readuntil(b"\0"))[:-1])
                if "id" in message:
                    self._answered(message)
                elif page := self._pages.get(message.get("sessionId", "")):
                    page.hear(message["method"], message.get("params", {}))
        except asyncio.IncompleteReadError:
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(ConnectionError("Chromium is gone"))

    def _answered(self, message: dict[str, Any]) -> None:
        answer = self._answers.pop(message["id"])
        if answer.done():
            return
        if "error" in message:
            answer.set_exception(AssertionError(message["error"]))
        else:
            answer.set_result(message["result"])


@contextlib.asynccontextmanager
async def chromium(executable: str, profile: Path) -> AsyncIterator[Browser]:
    """Run a Chromium for the length of the block."""
    to_read, to_write = os.pipe(), os.pipe()
    # Numbers above 4, so that neither end is overwritten while both are put into place.
    theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_read[0], to_write[1])]
    os.close(to_read[0])
    os.close(to_write[1])
    log = (profile / "chromium.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _LAUNCH,
        *map(str, theirs),
        executable,
        *_FLAGS,
        f"--user-data-dir={profile / 'profile'}",
        pass_fds=theirs,
        stdout=log,
        stderr=log,
        env={**os.environ, "HOME": str(profile)},
    )
    for end in theirs:
        os.close(end)
    reader = asyncio.StreamReader(limit=64 * 2**20)
    pipe = os.fdopen(to_write[0], "rb")
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    browser = Browser(reader, to_read[1])
    listening = asyncio.create_task(browser.listen())
    try:
        yield browser
    finally:
        with contextlib.suppress(ConnectionError, TimeoutError, BrokenPipeError):
            await browser.call("Browser.close", {})
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await listening
        transport.close()
        os.close(to_read[1])
        log.close()
