"""A browser on a host: Debian's Chromium without a window, driven from the test's process.

Run on the host, this module is what drives it there: it reads a request a line, as JSON, and answers so.
"""

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from subprocess import PIPE
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from tests.integration.hosts import Host, eventually

_BROWSER, _DRIVER = "chromium", "chromedriver"
_CLONE = Path(__file__).parents[2]
# Without the last ones it looks for hosts of its maker's, at every start.
_OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync", "--disable-quic",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip
_SECONDS = 60.0
DESKTOP, PHONE = (1400, 900), (390, 800)


def missing() -> str:
    """Return what of Debian's packages is not installed, "" for nothing."""
    return " ".join(name for name in (_BROWSER, _DRIVER) if not shutil.which(name))


class Browser:
    """One window of a browser. What it does raises AssertionError with the browser's words."""

    def __init__(self, host: Host) -> None:
        command = ("env", f"PYTHONPATH={_CLONE}", sys.executable, "-m", "tests.integration.browser")
        self._driver = host.popen(command, stdin=PIPE, stdout=PIPE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._driver.stdin is not None
        assert self._driver.stdout is not None
        self._driver.stdin.close()
        self._driver.wait(_SECONDS)
        self._driver.stdout.close()

    def open(self, link: str, size: tuple[int, int] = DESKTOP, *, dark: bool = False) -> None:
        self._ask("open", link, *size, dark)

    def evaluate(self, script: str, *arguments: Any) -> Any:
        """Run a function body of JavaScript and return what it returns."""
        return self._ask("evaluate", script, *arguments)

    def click(self, selector: str) -> None:
        self._ask("click", selector)

    def types(self, selector: str, text: str) -> None:
        self._ask("types", selector, text)

    def text(self, selector: str) -> str:
        """Return what an element shows."""
        return str(self.evaluate("return document.querySelector(arguments[0]).innerText", selector))

    def shows(self, selector: str, text: str) -> None:
        """Wait until an element shows a text."""
        try:
            eventually(lambda: text in self.text(selector), f"{selector} shows {text!r}", _SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}, but {self.text(selector)!r}") from None

    def photograph(self, path: Path) -> None:
        self._ask("photograph", str(path))

    def complaints(self) -> list[str]:
        """Return what the browser's console has had of warnings and errors since it was asked last."""
        return [str(line) for line in self._ask("complaints")]

    def barriers(self) -> list[str]:
        """Return what axe-core finds on the page that keeps people from using it, and that is serious."""
        return [str(line) for line in self._ask("barriers")]

    def _ask(self, *request: Any) -> Any:
        assert self._driver.stdin is not None
        assert self._driver.stdout is not None
        self._driver.stdin.write(json.dumps(request).encode() + b"\n")
        self._driver.stdin.flush()
        answer = self._driver.stdout.readline()
        assert answer, f"the browser's driver has ended: {request}"
        document = json.loads(answer)
        assert "error" not in document, document["error"]
        return document["value"]


# -- On the host ------------------------------------------------------------------------------------


class _Driver:
    def __init__(self, profile: str) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which(_BROWSER) or _BROWSER
        for option in (*_OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(option)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.chrome = webdriver.Chrome(options, Service(shutil.which(_DRIVER)))

    def open(self, link: str, width: int, height: int, dark: bool) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < height}
        self.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        self.chrome.get(link)

    def evaluate(self, script: str, *arguments: Any) -> Any:
        return self.chrome.execute_script(script, *arguments)

    def click(self, selector: str) -> None:
        self.chrome.find_element("css selector", selector).click()

    def types(self, selector: str, text: str) -> None:
        self.chrome.find_element("css selector", selector).send_keys(text)

    def photograph(self, path: str) -> None:
        self.chrome.save_screenshot(path)

    def complaints(self) -> Sequence[str]:
        entries = self.chrome.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in entries if entry["level"] != "INFO"]

    def barriers(self) -> Sequence[str]:
        self.chrome.execute_script(files("axe_core_python").joinpath("axe.min.js").read_text())
        found = self.chrome.execute_async_script("axe.run().then(arguments[0])")
        return [
            f"{one['id']}: {one['nodes'][0]['html']}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]


def main() -> None:
    with TemporaryDirectory() as profile:
        driver = _Driver(profile)
        try:
            for line in sys.stdin:
                verb, *arguments = json.loads(line)
                do: Callable[..., Any] = getattr(driver, verb)
                try:
                    answer = {"value": do(*arguments)}
                except Exception as error:  # noqa: BLE001 - the test shows it
                    answer = {"error": f"{verb}: {error}"}
                print(json.dumps(answer), flush=True)
        finally:
            with suppress(Exception):
                driver.chrome.quit()


if __name__ == "__main__":
    main()
