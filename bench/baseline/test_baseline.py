#!/usr/bin/env python3
"""Both designs as processes, between an upstream and viewers that the tests hold in hand.

    python3 bench/baseline/test_baseline.py
"""

import re
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path

DEADLINE_S = 30
PROGRAM = Path(__file__).with_name("baseline.py")


def packets(first: int, count: int) -> bytes:
    """Numbered packets."""
    numbers = range(first, first + count)
    return b"".join(b"\x47\x01\x00\x10" + n.to_bytes(8, "big") + bytes([n % 251]) * 176 for n in numbers)


def read_head(connection: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            raise AssertionError(f"closed inside the head {head!r}")
        head += byte
    return head


def read_exactly(connection: socket.socket, length: int) -> bytes:
    found = bytearray()
    while len(found) < length:
        piece = connection.recv(min(length - len(found), 1 << 20))
        if not piece:
            raise AssertionError(f"closed after {len(found)} of {length} bytes")
        found += piece
    return bytes(found)


class Baseline:
    """A relay that is ready, and the connection that feeds it."""

    def __init__(self, design: str, head: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(DEADLINE_S)
        self.feed: socket.socket
        self.connections: list[socket.socket] = []
        answering = threading.Thread(target=self.answer, args=(head,))
        answering.start()
        url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/a.ts"
        command = [sys.executable, PROGRAM, design, "--upstream", url, "--listen", "0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.first_line = self.process.stderr.readline()
        answering.join()
        ready = re.fullmatch(r"INFO ready listen=127\.0\.0\.1:(\d+) channels=1\n", self.first_line)
        self.port = int(ready[1]) if ready else 0

    def answer(self, head: bytes) -> None:
        self.feed, _ = self.listener.accept()
        self.feed.settimeout(DEADLINE_S)
        read_head(self.feed)
        self.feed.sendall(head)

    def connect(self, request: bytes, receive_bytes: int = 0) -> socket.socket:
        connection = socket.socket()
        self.connections.append(connection)
        connection.settimeout(DEADLINE_S)
        if receive_bytes:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.connect(("127.0.0.1", self.port))
        connection.sendall(request)
        return connection

    def viewer(self, receive_bytes: int = 0) -> socket.socket:
        """A viewer that has its head, hence every chunk from now on."""
        viewer = self.connect(b"GET /live/a/b/1.ts HTTP/1.1\r\nHost: x\r\n\r\n", receive_bytes)
        head = read_head(viewer)
        assert head.startswith(b"HTTP/1.1 200 "), head
        return viewer

    def metrics(self) -> dict[str, float]:
        """Its counters now."""
        connection = self.connect(b"GET /metrics HTTP/1.0\r\n\r\n")
        head = read_head(connection)
        assert head.startswith(b"HTTP/1.1 200 "), head
        assert b"text/plain; version=0.0.4" in head, head
        length = int(re.search(rb"Content-Length: (\d+)", head)[1])
        page = read_exactly(connection, length).decode()
        assert connection.recv(1) == b"", "more than its length"
        return {name: float(value) for name, value in re.findall(r"(?m)^(\w+) (\S+)$", page)}

    def ended(self) -> tuple[int, dict[str, str]]:
        """Waits for its end: the exit code and what the last line says."""
        _, said = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, dict(re.findall(r"(\S+)=(\S+)", said))

    def terminated(self) -> dict[str, str]:
        """Asks it to end: what the last line says."""
        self.process.send_signal(signal.SIGTERM)
        code, said = self.ended()
        assert code == 0, code
        return said

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        for connection in (self.listener, self.feed, *self.connections):
            connection.close()


class BothDesigns(unittest.TestCase):
    def start(self, design: str, **options: bytes) -> Baseline:
        baseline = Baseline(design, **options)
        self.addCleanup(baseline.close)
        return baseline

    def test_every_viewer_gets_what_the_upstream_sent(self) -> None:
        for design in ("before", "after"):
            with self.subTest(design):
                baseline = self.start(design)
                viewers = [baseline.viewer() for _ in range(10)]
                # Whole chunks, so that each round comes out whole.
                rounds = 5
                for number in range(rounds):
                    sent = packets(number * 174 * 43, 174 * 43)
                    baseline.feed.sendall(sent)
                    for viewer in viewers:
                        self.assertEqual(read_exactly(viewer, len(sent)), sent)
                last = packets(0, 3)
                baseline.feed.sendall(last)
                baseline.feed.close()
                for viewer in viewers:
                    self.assertEqual(read_exactly(viewer, len(last)), last)
                    self.assertEqual(viewer.recv(1), b"")
                code, said = baseline.ended()
                self.assertEqual(code, 0)
                chunks = rounds * (174 if design == "before" else 43) + 1
                self.assertEqual(said["chunks"], str(chunks))
                self.assertEqual((said["lost_chunks"], said["given_up"]), ("0", "0"))

    def test_a_chunked_upstream_comes_out_without_its_framing(self) -> None:
        for design in ("before", "after"):
            with self.subTest(design):
                head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                baseline = self.start(design, head=head)
                viewer = baseline.viewer()
                sent = packets(0, 2_000)
                for at in range(0, len(sent), 9_001):
                    part = sent[at : at + 9_001]
                    baseline.feed.sendall(b"%x\r\n%b\r\n" % (len(part), part))
                baseline.feed.sendall(b"0\r\n\r\n")
                self.assertEqual(read_exactly(viewer, len(sent)), sent)
                self.assertEqual(viewer.recv(1), b"")

    def test_a_length_ends_the_channel(self) -> None:
        for design in ("before", "after"):
            with self.subTest(design):
                head = b"HTTP/1.1 200 OK\r\nContent-Length: 18800\r\n\r\n"
                baseline = self.start(design, head=head)
                viewer = baseline.viewer()
                baseline.feed.sendall(packets(0, 101))
                self.assertEqual(read_exactly(viewer, 18_800), packets(0, 100))
                self.assertEqual(viewer.recv(1), b"")

    def test_metrics_count_what_viewers_are_given(self) -> None:
        for design, chunk_packets in (("before", 43), ("after", 174)):
            with self.subTest(design):
                baseline = self.start(design)
                self.assertEqual(set(baseline.metrics().values()), {0.0})
                viewers = [baseline.viewer() for _ in range(3)]
                chunks = 5
                sent = packets(0, chunk_packets * chunks)
                baseline.feed.sendall(sent)
                for viewer in viewers:
                    self.assertEqual(read_exactly(viewer, len(sent)), sent)
                # The last chunk is counted as handed out after the last viewer has it.
                deadline = time.monotonic() + DEADLINE_S
                while (told := baseline.metrics())["baseline_chunks_total"] < chunks:
                    self.assertLess(time.monotonic(), deadline)
                self.assertEqual(told["baseline_chunks_total"], chunks)
                self.assertEqual(told["baseline_writes_total"], chunks * len(viewers))
                self.assertEqual(told["baseline_lost_chunks_total"], 0)
                self.assertEqual(told["baseline_given_up_total"], 0)
                self.assertGreater(told["baseline_lock_held_seconds_total"], 0)
                self.assertGreaterEqual(
                    told["baseline_hand_out_seconds_total"], told["baseline_lock_held_seconds_total"]
                )
                self.assertEqual(len(told), 6)

    def test_metrics_count_what_is_lost_and_who_is_given_up(self) -> None:
        for design, name, chunk_packets in (
            ("before", "baseline_lost_chunks_total", 43),
            ("after", "baseline_given_up_total", 174),
        ):
            with self.subTest(design):
                baseline = self.start(design)
                baseline.viewer(receive_bytes=4096)
                viewer = baseline.viewer()
                number = 0
                while baseline.metrics()[name] == 0:
                    self.assertLess(number, 3_000)
                    sent = packets(number * chunk_packets, chunk_packets)
                    baseline.feed.sendall(sent)
                    self.assertEqual(read_exactly(viewer, len(sent)), sent)
                    number += 1
                self.assertGreaterEqual(baseline.metrics()["baseline_hand_out_seconds_total"], 0.09)

    def test_other_requests_are_refused(self) -> None:
        baseline = self.start("after")
        for request in (b"POST / HTTP/1.1", b"POST /metrics HTTP/1.1"):
            connection = baseline.connect(request + b"\r\n\r\n")
            self.assertTrue(read_head(connection).startswith(b"HTTP/1.1 405 "))

    def test_an_upstream_that_refuses_is_named(self) -> None:
        baseline = self.start("before", head=b"HTTP/1.1 404 Not Found\r\n\r\n")
        self.assertEqual(baseline.process.wait(DEADLINE_S), 69)
        said = baseline.first_line + baseline.process.stderr.read()
        self.assertIn("answered 'HTTP/1.1 404 Not Found'", said)

    def test_before_makes_everybody_wait_for_a_stalled_viewer_and_loses_its_chunks(self) -> None:
        baseline = self.start("before")
        baseline.viewer(receive_bytes=4096)
        viewer = baseline.viewer()
        delays_s: list[float] = []
        for number in range(3_000):
            sent = packets(number * 43, 43)
            began = time.monotonic()
            baseline.feed.sendall(sent)
            self.assertEqual(read_exactly(viewer, len(sent)), sent)
            delays_s.append(time.monotonic() - began)
            if sum(delay_s > 0.09 for delay_s in delays_s) == 5:
                break
        said = baseline.terminated()
        self.assertGreaterEqual(int(said["lost_chunks"]), 4)
        self.assertGreaterEqual(int(said["lock_us_mean/max"].split("/")[1]), 100_000)

    def test_after_gives_a_stalled_viewer_up_once_and_the_others_lose_nothing(self) -> None:
        baseline = self.start("after")
        stalled = baseline.viewer(receive_bytes=4096)
        viewer = baseline.viewer()
        for number in range(400):
            sent = packets(number * 174, 174)
            baseline.feed.sendall(sent)
            self.assertEqual(read_exactly(viewer, len(sent)), sent)
        self.assertEqual(baseline.terminated()["given_up"], "1")
        with self.assertRaises(ConnectionResetError):
            while stalled.recv(1 << 20):
                pass


if __name__ == "__main__":
    unittest.main()
