#!/usr/bin/env python3
"""The two designs that corecast is measured against, as a small asyncio relay: Python 3.11, standard library alone.

    baseline.py before|after --upstream http://HOST:PORT/PATH --listen [HOST:]PORT

`before` hands out chunks of 8 KB with the lock held, to one viewer after another, waiting up to 0.1 s for each queue of
100 chunks; a chunk that finds no place is lost for that viewer. `after` hands out chunks of 32 KB: the lock is held to
copy the list of viewers alone, all of them are sent to at the same time, each by one try and then 0.1 s of waiting for
its queue of 50 chunks, with 0.15 s around all of that; who has no place by then is given up, and its connection reset.

Both get the best of what they promise: a chunk is filled before it is handed out, so that there are as many per MB as
promised, and it is cut to whole packets, so that nobody begins inside one. One upstream, fetched from the start on,
given to every viewer whatever its path. When it ends, viewers get what is queued for them and the process ends.
`/metrics` alone is no viewer's path: it answers with counters as Prometheus text.

On the way out, or on SIGTERM, a line on standard error says how many chunks there were, what was lost, and how long
the lock was held and a chunk took to be handed out.
"""

import argparse
import asyncio
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from urllib.parse import urlsplit

PACKET_BYTES = 188
HEAD_BYTES_MAX = 8 * 1024
READ_BYTES = 64 * 1024
HEAD_TIMEOUT_S = 10.0
WAIT_S = 0.1
CAP_S = 0.15
DRAIN_S = 10.0
VIEWERS_MAX = 10_000
BACKLOG = 4096
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
ACCEPTED = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Design:
    """What tells one design from the other."""

    chunk_packets: int
    queue_chunks: int
    is_parallel: bool

    @property
    def chunk_bytes(self) -> int:
        return self.chunk_packets * PACKET_BYTES


DESIGNS = {
    "before": Design(chunk_packets=8 * 1024 // PACKET_BYTES, queue_chunks=100, is_parallel=False),
    "after": Design(chunk_packets=32 * 1024 // PACKET_BYTES, queue_chunks=50, is_parallel=True),
}


class UpstreamError(Exception):
    """The upstream gave no body, or a broken one."""


@dataclass
class Span:
    """Durations of one kind."""

    count: int = 0
    total_s: float = 0.0
    max_s: float = 0.0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.total_s += seconds
        self.max_s = max(self.max_s, seconds)

    def __str__(self) -> str:
        mean_s = self.total_s / max(self.count, 1)
        return f"{mean_s * 1e6:.0f}/{self.max_s * 1e6:.0f}"


@dataclass
class Tally:
    """What happened so far."""

    chunks: int = 0
    bytes: int = 0
    writes: int = 0
    lost_chunks: int = 0
    given_up: int = 0
    lock: Span = field(default_factory=Span)
    hand_out: Span = field(default_factory=Span)

    def __str__(self) -> str:
        return (
            f"chunks={self.chunks} bytes={self.bytes} lost_chunks={self.lost_chunks} given_up={self.given_up} "
            f"lock_us_mean/max={self.lock} hand_out_us_mean/max={self.hand_out}"
        )

    def metrics(self) -> str:
        """Prometheus text."""
        counters = (
            ("chunks", "Chunks handed out.", self.chunks),
            ("writes", "Calls that gave a viewer's transport bytes.", self.writes),
            ("lost_chunks", "Chunks that found no place in a viewer's queue.", self.lost_chunks),
            ("given_up", "Viewers that were given up.", self.given_up),
            ("lock_held_seconds", "Time for which the lock around the viewers was held.", self.lock.total_s),
            ("hand_out_seconds", "Time that chunks took to be handed out.", self.hand_out.total_s),
        )
        return "".join(
            f"# HELP baseline_{name}_total {text}\n"
            f"# TYPE baseline_{name}_total counter\n"
            f"baseline_{name}_total {value}\n"
            for name, text, value in counters
        )


@dataclass(eq=False)
class Viewer:
    """One connection and the chunks that wait for it; `None` in the queue is the end."""

    writer: asyncio.StreamWriter
    queue: asyncio.Queue[bytes | None]
    tally: Tally

    async def send_all(self) -> None:
        """Writes what is queued until the end comes or the connection fails."""
        while (chunk := await self.queue.get()) is not None:
            self.writer.write(chunk)
            self.tally.writes += 1
            await self.writer.drain()

    async def offer(self, chunk: bytes) -> bool:
        """Queues a chunk: one try, then a wait; says whether it has a place."""
        try:
            self.queue.put_nowait(chunk)
            return True
        except asyncio.QueueFull:
            return await self.wait_for_place(chunk)

    async def wait_for_place(self, chunk: bytes) -> bool:
        """Queues a chunk as soon as there is a place, within the wait."""
        try:
            async with asyncio.timeout(WAIT_S):
                await self.queue.put(chunk)
            return True
        except TimeoutError:
            return False

    def give_up(self) -> None:
        """Resets the connection: the viewer must not take a gap for the end."""
        connection = self.writer.get_extra_info("socket")
        if connection.fileno() >= 0:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Relay:
    """One channel: its viewers, the lock around them, and how a chunk reaches them."""

    def __init__(self, design: Design) -> None:
        self.design = design
        self.viewers: list[Viewer] = []
        self.lock = asyncio.Lock()
        self.tally = Tally()
        self.has_ended = False

    async def hand_out(self, chunk: bytes) -> None:
        """Gives a chunk to every viewer, in the way of the design."""
        began = time.perf_counter()
        if self.design.is_parallel:
            await self.hand_out_at_once(chunk)
        else:
            await self.hand_out_in_turn(chunk)
        self.tally.chunks += 1
        self.tally.bytes += len(chunk)
        self.tally.hand_out.add(time.perf_counter() - began)

    async def hand_out_in_turn(self, chunk: bytes) -> None:
        async with self.lock:
            began = time.perf_counter()
            for viewer in self.viewers:
                if not await viewer.wait_for_place(chunk):
                    self.tally.lost_chunks += 1
            self.tally.lock.add(time.perf_counter() - began)

    async def hand_out_at_once(self, chunk: bytes) -> None:
        async with self.lock:
            began = time.perf_counter()
            viewers = list(self.viewers)
            self.tally.lock.add(time.perf_counter() - began)
        await asyncio.gather(*(self.send_to(viewer, chunk) for viewer in viewers))

    async def send_to(self, viewer: Viewer, chunk: bytes) -> None:
        try:
            async with asyncio.timeout(CAP_S):
                has_place = await viewer.offer(chunk)
        except TimeoutError:
            has_place = False
        if not has_place:
            self.tally.given_up += 1
            viewer.give_up()
            await self.leave(viewer)

    async def end(self) -> None:
        """Lets every viewer finish what is queued for it, for so long and no longer."""
        self.has_ended = True
        async with self.lock:
            viewers = list(self.viewers)
        await asyncio.gather(*(self.finish(viewer) for viewer in viewers))

    async def finish(self, viewer: Viewer) -> None:
        try:
            async with asyncio.timeout(DRAIN_S):
                await viewer.queue.put(None)
                await viewer.writer.wait_closed()
        except (TimeoutError, ConnectionError):
            viewer.give_up()

    async def leave(self, viewer: Viewer) -> None:
        async with self.lock:
            if viewer in self.viewers:
                self.viewers.remove(viewer)

    async def welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection from its request to its end."""
        try:
            async with asyncio.timeout(HEAD_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
            await self.answer(head, writer)
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()
        finally:
            writer.close()

    async def answer(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        if head.split(b" ", 2)[1:2] == [b"/metrics"] and head.startswith(b"GET "):
            await self.tell_metrics(writer)
            return
        refusal = None
        if not head.startswith(b"GET /"):
            refusal = "405 Method Not Allowed"
        elif self.has_ended or len(self.viewers) >= VIEWERS_MAX:
            refusal = "503 Service Unavailable"
        if refusal is not None:
            writer.write(f"HTTP/1.1 {refusal}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
            return
        viewer = Viewer(writer, asyncio.Queue(self.design.queue_chunks), self.tally)
        async with self.lock:
            self.viewers.append(viewer)
        try:
            writer.write(ACCEPTED)
            await viewer.send_all()
        finally:
            await self.leave(viewer)

    async def tell_metrics(self, writer: asyncio.StreamWriter) -> None:
        text = self.tally.metrics().encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {METRICS_TYPE}\r\nContent-Length: {len(text)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + text)
        await writer.drain()


async def fetch(url: str) -> AsyncIterator[bytes]:
    """Asks for a URL and yields its body in whatever pieces it comes."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname is None:
        raise UpstreamError(f"{url} is no upstream: http://HOST:PORT/PATH is allowed")
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(HEAD_TIMEOUT_S):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, *lines = head.splitlines()
        if status.split(" ")[1:2] != ["200"]:
            raise UpstreamError(f"{url} answered {status!r}: 200 is required")
        pairs = (line.split(":", 1) for line in lines if ":" in line)
        fields = {name.strip().lower(): value.strip() for name, value in pairs}
        # The consumer's first piece is empty and says that the body begins.
        yield b""
        async for piece in body(reader, fields):
            yield piece
    finally:
        writer.close()


async def body(reader: asyncio.StreamReader, fields: dict[str, str]) -> AsyncIterator[bytes]:
    """Yields a body that is chunked, has a length, or ends with the connection."""
    if fields.get("transfer-encoding", "").lower() == "chunked":
        while (length := int((await reader.readuntil(b"\n")).split(b";")[0], 16)) > 0:
            async for piece in pieces(reader, length):
                yield piece
            await reader.readexactly(2)
    elif "content-length" in fields:
        async for piece in pieces(reader, int(fields["content-length"])):
            yield piece
    else:
        while piece := await reader.read(READ_BYTES):
            yield piece


async def pieces(reader: asyncio.StreamReader, length: int) -> AsyncIterator[bytes]:
    while length > 0:
        piece = await reader.read(min(length, READ_BYTES))
        if not piece:
            raise UpstreamError(f"the connection closed {length} bytes before the end")
        length -= len(piece)
        yield piece


async def relay(design: Design, url: str, host: str, port: int) -> None:
    """Listens once the upstream answers, and relays until it ends or SIGTERM comes."""
    channel = Relay(design)
    waiting = bytearray()
    server = None
    try:
        async for piece in fetch(url):
            if server is None:
                server = await asyncio.start_server(
                    channel.welcome, host, port, limit=HEAD_BYTES_MAX, backlog=BACKLOG
                )
                bound = server.sockets[0].getsockname()
                say(f"INFO ready listen={bound[0]}:{bound[1]} channels=1")
            waiting += piece
            while len(waiting) >= design.chunk_bytes:
                chunk = bytes(waiting[: design.chunk_bytes])
                del waiting[: design.chunk_bytes]
                await channel.hand_out(chunk)
        if waiting:
            await channel.hand_out(bytes(waiting[: len(waiting) // PACKET_BYTES * PACKET_BYTES]))
        await channel.end()
    finally:
        if server is not None:
            server.close()
        say(f"INFO ended {channel.tally}")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host or "127.0.0.1", int(port)


async def until_terminated(work: Coroutine[None, None, None]) -> int:
    """Runs the relay as a task that SIGTERM and SIGINT cancel; returns the exit code."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return 0
    except (UpstreamError, OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
        say(f"ERROR {error}")
        return 69
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="The seed's two designs as a small relay.")
    parser.add_argument("design", choices=sorted(DESIGNS))
    parser.add_argument("--upstream", required=True, metavar="URL")
    parser.add_argument("--listen", required=True, metavar="[HOST:]PORT", type=address)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    host, port = options.listen
    return asyncio.run(until_terminated(relay(DESIGNS[options.design], options.upstream, host, port)))


if __name__ == "__main__":
    sys.exit(main())
