"""A whole agent of wire protocol v1, for a "queue" that appends an event per line to a file.

The lines are JSON objects with the fields of docs/protocol.md, already redacted. Run it beside whatever writes them:

    TASKPLANE_TOKEN=... python minimal_agent.py --brain ws://127.0.0.1:7440 --name lines-01 events.jsonl
"""

import argparse
import json
import os
import random
import sqlite3
import sys
import time
import uuid
from datetime import datetime, timezone
from pathlib import Path

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

MOST_EVENTS, MOST_BYTES, WINDOW, ROOM = 500, 256 << 10, 32, 1000


def say(text: str) -> None:
    """Tell people."""
    print(text, file=sys.stderr, flush=True)


class Buffer:
    """Sealed batches on disk until they are acked, and how far the file has been read: one transaction for both."""

    def __init__(self, path: Path) -> None:
        self.path, self.db = path, sqlite3.connect(f"{path}.buffer", isolation_level=None)
        self.db.executescript("""PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
            CREATE TABLE IF NOT EXISTS batch (seq INTEGER PRIMARY KEY, frame TEXT NOT NULL);
            CREATE TABLE IF NOT EXISTS state (stream TEXT, last_seq INTEGER, read_to INTEGER);""")
        # A new buffer is a new stream, whose sequence begins at 1.
        fresh = "INSERT INTO state SELECT ?, 0, 0 WHERE NOT EXISTS (SELECT * FROM state)"
        self.db.execute(fresh, (str(uuid.uuid4()),))
        self.stream, self.last_seq, self.read_to = self.db.execute("SELECT * FROM state").fetchone()

    def seal(self) -> None:
        """Make a batch of new lines and give it the next number. From then on it never changes."""
        (waiting,) = self.db.execute("SELECT count(*) FROM batch").fetchone()
        if waiting >= ROOM or not self.path.exists():
            return  # What is not read yet waits in the file.
        events: list[str] = []
        with self.path.open("rb") as file:
            file.seek(self.read_to)
            size, read_to = 0, self.read_to
            for line in file:
                size += len(line)
                if not line.endswith(b"\n") or len(events) == MOST_EVENTS or (events and size > MOST_BYTES):
                    break
                read_to += len(line)
                try:
                    events.append(json.dumps(json.loads(line[: 1 << 20]), allow_nan=False))
                except ValueError as error:
                    say(f"left out a line that is no event, or longer than 1 MiB: {error}")
        if read_to == self.read_to:
            return
        self.read_to, self.last_seq = read_to, self.last_seq + bool(events)
        self.db.execute("BEGIN IMMEDIATE")
        if events:
            frame = f'{{"type":"event_batch","seq":{self.last_seq},"events":[{",".join(events)}]}}'
            self.db.execute("INSERT INTO batch VALUES (?, ?)", (self.last_seq, frame))
        self.db.execute("UPDATE state SET last_seq = ?, read_to = ?", (self.last_seq, self.read_to))
        self.db.execute("COMMIT")

    def after(self, seq: int, limit: int) -> list[tuple[int, str]]:
        """Batches in order, to be sent, or sent again."""
        query = "SELECT seq, frame FROM batch WHERE seq > ? ORDER BY seq LIMIT ?"
        return self.db.execute(query, (seq, limit)).fetchall()

    def forget(self, seq: int) -> None:
        """Drop what is on the brain's disk."""
        self.db.execute("DELETE FROM batch WHERE seq <= ?", (seq,))


def serve(socket: ClientConnection, name: str, buffer: Buffer, answers: dict[str, str], trace: bool) -> None:
    """Speak on one connection until it ends."""

    def send(text: str) -> None:
        if trace:
            say(f"agent  {text}")
        socket.send(text)

    hello = {"type": "hello", "protocol": "v1", "agent_name": name, "instance_id": buffer.stream, "engines": ["lines"]}
    send(json.dumps(hello))
    acked, sent, beat, deadline = -1, 0, 0.0, time.monotonic() + 10
    while True:
        buffer.seal()
        if acked >= 0:  # Only now is it known where to go on.
            for seq, batch in buffer.after(sent, WINDOW - (sent - acked)):
                send(batch)
                sent = seq
            if time.monotonic() >= beat:
                beat, now = time.monotonic() + 30, datetime.now(timezone.utc).isoformat()
                send(json.dumps({"type": "heartbeat", "ts": now, "adapters": {"lines": "ok"}}))
        elif time.monotonic() > deadline:
            raise TimeoutError("the brain did not answer hello within 10 s")
        try:
            text = socket.recv(timeout=0.1)  # The library answers pings, and sends its own to see who is gone.
        except TimeoutError:
            continue
        if trace:
            say(f"brain  {text!s}")
        frame = json.loads(text)
        if frame["type"] == "ack":
            acked, sent = max(acked, frame["seq"]), max(sent, frame["seq"])
            buffer.forget(acked)
        elif frame["type"] == "command":  # The same command again would get the same answer, and nothing more.
            result = {"type": "command_result", "cmd_id": frame["cmd_id"], "ok": frame["cmd"] == "restart_agent"}
            if not result["ok"]:
                result |= {"error": "unsupported_command", "message": f"this agent cannot {frame['cmd']}"}
            send(answers.setdefault(frame["cmd_id"], json.dumps(result)))
            if result["ok"]:
                return
        # Frames of other types are of a later version.


def main() -> None:
    """Connect, serve, and connect again as the close code says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--brain", required=True, help="such as ws://127.0.0.1:7440")
    parser.add_argument("--name", required=True, help="name of this agent, unique in the project")
    parser.add_argument("--trace", action="store_true", help="print every frame")
    parser.add_argument("events", type=Path, help="file with an event per line")
    options = parser.parse_args()
    buffer, answers, backoff = Buffer(options.events), dict[str, str](), 0.5
    token = os.environ.get("TASKPLANE_TOKEN") or sys.exit("set TASKPLANE_TOKEN to an agent token")
    headers = {"Authorization": f"Bearer {token}"}
    while True:
        code, began = 0, time.monotonic()
        try:
            with connect(f"{options.brain}/ws", additional_headers=headers, compression=None) as socket:
                serve(socket, options.name, buffer, answers, options.trace)
        except (OSError, WebSocketException) as error:
            say(f"disconnected: {error}")
            code = error.rcvd.code if isinstance(error, ConnectionClosed) and error.rcvd else 0
            if code in (4001, 4003) or (isinstance(error, InvalidStatus) and error.response.status_code == 401):
                sys.exit("stopped: upgrade this agent" if code == 4001 else "stopped: give this agent another token")
        backoff = 0.5 if time.monotonic() - began > 60 else min(60, backoff * 2)
        time.sleep(60 if code in (1013, 4009) else random.uniform(0, backoff))


if __name__ == "__main__":
    main()
