# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests at a steady rate over verified TLS, each of them noted: a process of its own, so that nothing slows it down.

    python tests/load.py --address 10.0.0.1 --ca ca.crt --url https://shop.example/write/ --rate 60 --log load.jsonl

It ends when its standard input is closed. One request in four opens a connection, the others share kept ones.
A visitor keeps the cookie it was given; when the answer says that its session began anew, that is a failure as well.
Nothing is ever sent twice: what fails, fails.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 10
#: More at once than this, and the rate is not held: the log says so.
AT_ONCE = 200
#: Visitors of each kind; of one kind each keeps its connection.
KEPT = 12


class Visitor:
    """One session; ``connection`` stays open when it keeps it."""

    def __init__(self, kept: bool) -> None:
        self.kept = kept
        self.cookie = ""
        self.rows = 0
        self.connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def close(self) -> None:
        if self.connection:
            self.connection[1].close()
        self.connection = None


class Load:
    def __init__(self, url: str, address: str, ca_file: str, log: Any) -> None:
        parts = urlsplit(url)
        self._host, self._path, self._address = parts.hostname or "", parts.path, address
        self._context = ssl.create_default_context(cafile=ca_file)
        self._log = log
        self._free: dict[bool, list[Visitor]] = {True: [Visitor(True) for number in range(KEPT)], False: []}
        self.late = 0

    async def run(self, rate: float, ended: asyncio.Event) -> None:
        running: set[asyncio.Task[None]] = set()
        start, number = time.monotonic(), 0
        while not ended.is_set():
            wait = start + number / rate - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            if len(running) < AT_ONCE:
                task = asyncio.create_task(self._visit(kept=number % 4 != 0))
                running.add(task)
                task.add_done_callback(running.discard)
            else:
                self.late += 1
            number += 1
        await asyncio.gather(*running)

    async def _visit(self, kept: bool) -> None:
        free = self._free[kept]
        visitor = free.pop() if free else Visitor(kept)
        fresh = visitor.connection is None
        began, at = time.monotonic(), time.time()
        status, error = 0, ""
        try:
            async with asyncio.timeout(TIMEOUT):
                status, error = await self._request(visitor)
        except TimeoutError:
            error = "timeout"
        except (OSError, ValueError, asyncio.IncompleteReadError) as problem:
            error = f"{type(problem).__name__}: {problem}"
        if error or not kept:
            visitor.close()
        if len(free) < KEPT:
            free.append(visitor)
        line = {"at": round(at, 3), "ms": round((time.monotonic() - began) * 1000, 1), "status": status}
        self._log.write(json.dumps({**line, "kept": kept, "fresh": fresh, "error": error}) + "\n")

    async def _request(self, visitor: Visitor) -> tuple[int, str]:
        if visitor.connection is None:
            visitor.connection = await asyncio.open_connection(
                self._address, 443, ssl=self._context, server_hostname=self._host
            )
        reader, writer = visitor.connection
        lines = [f"POST {self._path} HTTP/1.1", f"Host: {self._host}", "Content-Length: 0"]
        lines += [f"Cookie: sessionid={visitor.cookie}"] if visitor.cookie else []
        lines += [] if visitor.kept else ["Connection: close"]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split()[1])
        headers = [line.split(": ", 1) for line in head[1:] if ": " in line]
        length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
        body = await reader.readexactly(length)
        if any(name.lower() == "connection" and value.lower() == "close" for name, value in headers):
            visitor.close()
        if status != 200:
            return status, f"HTTP {status}: {body[:80].decode('utf-8', 'replace')}"
        for name, value in headers:
            if name.lower() == "set-cookie" and value.startswith("sessionid="):
                visitor.cookie = value.split(";")[0].partition("=")[2]
        rows, visitor.rows = visitor.rows, json.loads(body)["rows"]
        return status, "" if visitor.rows == rows + 1 else f"session lost: {rows} rows became {visitor.rows}"


def judged(log: Path, began: float, ended: float) -> dict[str, Any]:
    """What the log says of the time between two moments."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    lines = [line for line in lines if began <= line["at"] < ended]
    failed = sorted((line for line in lines if line["error"]), key=lambda line: line["at"])
    seconds = Counter(int(line["at"]) for line in lines)
    whole = range(int(began) + 1, int(ended))
    times = sorted(line["ms"] for line in lines)
    return {
        "seconds": round(ended - began, 1),
        "requests": len(lines),
        "a second": round(len(lines) / (ended - began), 1),
        "fewest in a second": min((seconds[one] for one in whole), default=0),
        "kept": sum(line["kept"] for line in lines),
        "on fresh connections": sum(line["fresh"] for line in lines),
        "median ms": times[len(times) // 2] if times else 0,
        "slowest ms": times[-1] if times else 0,
        "timeouts": sum(line["error"] == "timeout" for line in lines),
        "failed": len(failed),
        "failed for s": round(failed[-1]["at"] - failed[0]["at"], 1) if failed else 0,
        "failures": dict(Counter(line["error"][:80] for line in failed).most_common(5)),
    }


async def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option in ("--url", "--address", "--ca", "--log"):
        parser.add_argument(option, required=True)
    parser.add_argument("--rate", type=float, required=True)
    given = parser.parse_args()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), lambda: ended.set() if not sys.stdin.buffer.raw.read(1) else None)  # type: ignore[union-attr]
    with open(given.log, "w", buffering=1) as log:
        load = Load(given.url, given.address, given.ca, log)
        await load.run(given.rate, ended)
    if load.late:
        print(f"{load.late} requests were not sent: {AT_ONCE} were open already", file=sys.stderr)


if __name__ == "__main__":
    asyncio.run(_main())
