# SPDX-License-Identifier: GPL-2.0
"""A headless Chromium, driven over chromedriver's HTTP (W3C WebDriver)."""
import base64
import json
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars",
]


class Browser:
    """Begins with a new, empty profile, which goes with it."""

    def __init__(self, dark=False):
        self.profile = tempfile.TemporaryDirectory(prefix="mr-chromium-")
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL, text=True)
        self.session = None
        port = None
        for line in self.driver.stdout:
            if "successfully on port" in line:
                port = int(line.rsplit("port", 1)[1].strip(" .\n"))
                break
        if not port:
            raise RuntimeError("chromedriver did not start")
        self.base = f"http://127.0.0.1:{port}"
        args = FLAGS + [f"--user-data-dir={self.profile.name}"]
        if dark:
            args.append("--force-dark-mode")
        answer = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": args}, "goog:loggingPrefs": {"browser": "ALL"}}}})
        self.session = answer["sessionId"]

    def ask(self, method, path, body=None):
        prefix = f"/session/{self.session}" if self.session else ""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.base + prefix + path, data, method=method,
                                         headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from error

    def close(self):
        try:
            if self.session:
                self.ask("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait()
            self.profile.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.close()

    def go(self, url):
        self.ask("POST", "/url", {"url": url})

    def run(self, script, *args):
        return self.ask("POST", "/execute/sync", {"script": script, "args": list(args)})

    def text(self, selector):
        """What a person sees of an element; "" while it is not shown."""
        return self.run("const e = document.querySelector(arguments[0]);"
                        "return e && e.offsetParent ? e.innerText : ''", selector)

    def wait(self, script, *args, seconds=15):
        """Until a script returns something true, which is returned."""
        end = time.monotonic() + seconds
        while True:
            value = self.run(script, *args)
            if value:
                return value
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s: {script} {args}")
            time.sleep(0.05)

    def wait_text(self, selector, text, seconds=15):
        self.wait("const e = document.querySelector(arguments[0]);"
                  "return e && e.offsetParent && e.innerText.includes(arguments[1])",
                  selector, text, seconds=seconds)

    def size(self, width, height, mobile=False):
        self.ask("POST", "/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}})

    def scheme(self, name):
        """"light" or "dark", as the user's system would say."""
        self.ask("POST", "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {
            "features": [{"name": "prefers-color-scheme", "value": name}]}})

    def log(self):
        """What the page's console got since the last call."""
        return [entry["message"] for entry in self.ask("POST", "/se/log", {"type": "browser"})]

    def screenshot(self, path):
        """The whole page, however long."""
        answer = self.ask("POST", "/goog/cdp/execute", {"cmd": "Page.captureScreenshot", "params": {
            "captureBeyondViewport": True}})
        with open(path, "wb") as f:
            f.write(base64.b64decode(answer["data"]))
