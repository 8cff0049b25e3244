"""A web server on this machine that misbehaves on command."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Site:
    """What the server has, how it answers, and what it was asked.

    `plan` holds one word for each coming request, `whole` once it is used up:
    `whole` answers as asked; `cut N` breaks off after N bytes; `no ranges` sends everything
    whatever was asked, `no ranges cut N` so too and breaks off; `length TEXT` gives that length;
    a number is an error status; `away` sends to another path, `to ADDRESS` to that address;
    `endless` never ends, and `trickle N` sends N bytes and then one now and then.
    """

    def __init__(self) -> None:
        self.content = b""
        self.plan: list[str] = []
        self.asked: list[tuple[str, str | None]] = []
        self.users: list[str | None] = []
        """Whose request each was, as the header has it."""
        self.url = ""
        self.is_over = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    """Answers as the server's site plans it."""

    site: Site

    def do_GET(self) -> None:
        self.site.asked.append((self.path, self.headers["Range"]))
        self.site.users.append(self.headers["Authorization"])
        plan = self.site.plan.pop(0) if self.site.plan else "whole"
        if plan.isdigit():
            self.send_error(int(plan))
        elif plan == "away" or plan.startswith("to "):
            self.send_response(302)
            elsewhere = f"{self.site.url}/elsewhere.tar.gz"
            self.send_header("Location", elsewhere if plan == "away" else plan[3:])
            self.end_headers()
        elif plan == "endless" or plan.startswith("trickle"):
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                self._go_on(plan)
        else:
            self._send(plan)

    def _go_on(self, plan: str) -> None:
        if plan == "endless":
            while not self.site.is_over.is_set():
                self.wfile.write(bytes(1 << 16))
            return
        self.wfile.write(self.site.content[: int(plan.removeprefix("trickle "))])
        while not self.site.is_over.wait(0.02):
            self.wfile.write(b"x")

    def _send(self, plan: str) -> None:
        start = 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        if asked and not plan.startswith("no ranges"):
            start = int(asked[1])
        self.send_response(206 if start else 200)
        length = str(len(self.site.content) - start)
        if plan.startswith("length "):
            length = plan.removeprefix("length ")
        self.send_header("Content-Length", length)
        self.end_headers()
        cut = re.search(r"cut (\d+)", plan)
        end = start + int(cut[1]) if cut else None
        self.wfile.write(self.site.content[start:end])

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Site]:
    """Serve a site on a free port."""
    site = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": site}))
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield site
    finally:
        site.is_over.set()
        server.shutdown()
        thread.join()
        server.server_close()
