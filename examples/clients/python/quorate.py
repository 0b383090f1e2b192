#!/usr/bin/env python3
"""A client of quorate's nodes: propose values, read and follow the log, watch what happens.

Python 3.9 or newer, the standard library only. This file alone is the HTTP client: copy it. The files
beside it add the peers' side, raw frames and their handshake, for `listen`, `decode` and `selftest`.

    client = Client("127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003")
    outcome = client.propose("blue")
    if isinstance(outcome, Committed):
        print(outcome.slot)
    for entry in client.follow(start=1):
        print(entry.slot, entry.value)

`docs/API.md` tells what is asked here, `docs/PROTOCOL.md` what an entry's hash is made of.
"""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import json
import math
import random
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Callable
from urllib.parse import urlsplit

CONNECT_TIMEOUT = 3.0  # seconds, for one node to take a connection
ATTEMPT_TIMEOUT = 5.0  # seconds, for one node to decide before another one is asked
ANSWER_TIMEOUT = 20.0  # seconds, for a short answer; a node gives up on a quorum after 15
DELIVERY_TIMEOUT = 40.0  # seconds; a node waits 30 for the receiving ends
SILENCE_MAX = 40.0  # seconds without a byte; events come, or a comment every 15
PAUSE_MIN, PAUSE_MAX = 0.1, 2.0  # seconds between two attempts, doubling, with jitter
ANSWER_BYTES_MAX = 16 * 1024 * 1024
IDS_REMEMBERED = 100_000  # slots that an id is remembered behind its own


class QuorateError(Exception):
    """What went wrong: a stable word, what it is, the next step.

    Codes of the nodes stand in `docs/openapi.yaml`, and `status` is then that of the answer. Of this
    client: `unreachable` (no connection, nothing was asked), `lost` (asked, and no answer came),
    `strange` (no node of this version answers there), `broken_chain` (entries do not follow each other).
    """

    def __init__(self, code: str, message: str, hint: str, status: int = 0):
        super().__init__(f"{message} ({code}); {hint}")
        self.code, self.message, self.hint, self.status = code, message, hint, status

    @property
    def is_temporary(self) -> bool:
        """Whether another node, or the same one later, may well answer."""
        return self.code in ("unreachable", "lost") or self.status == 503


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a proposal: one of the classes below. Under `request_id`, asking again is safe."""

    request_id: str


@dataclasses.dataclass(frozen=True)
class Committed(Outcome):
    """It stands in `slot`, for ever. `hash` names the whole log up to there."""

    slot: int
    hash: str | None = None
    votes: dict | None = None
    round: int | None = None
    proposer: str | None = None
    took_ms: float | None = None


@dataclasses.dataclass(frozen=True)
class Duplicate(Outcome):
    """An earlier request under the same id took effect, in `slot`."""

    slot: int


@dataclasses.dataclass(frozen=True)
class Rejected(Outcome):
    """It surely takes no effect."""

    why: str


@dataclasses.dataclass(frozen=True)
class Unknown(Outcome):
    """Not decided in time: it may still commit."""


@dataclasses.dataclass(frozen=True)
class Pending(Outcome):
    """Taken, and not waited for."""


@dataclasses.dataclass(frozen=True)
class Position:
    """A place in the log."""

    slot: int
    hash: str


GENESIS = Position(0, "0" * 64)


@dataclasses.dataclass(frozen=True)
class Entry:
    """An entry in its slot. `kind` is `value`, `config` or `noop`; the others belong to one of them."""

    slot: int
    hash: str
    epoch: int
    kind: str
    request_id: str | None = None
    value: str | None = None
    until: int | None = None
    config: dict | None = None

    def hash_after(self, parent: str) -> str:
        """The hash of this entry if that of the entry before is `parent`, whatever `hash` says."""
        parts = [b"quorate entry 1\0", bytes.fromhex(parent), _u64(self.epoch), _u64(self.slot)]
        if self.kind == "value":
            text = self.value.encode()
            bound = 0 if self.until is None else self.until + 1
            parts += [b"\1", uuid.UUID(self.request_id).bytes, _u64(bound), _u64(len(text)), text]
        elif self.kind == "config":
            parts += [b"\2", _u64(self.config["epoch"]), {"crash": b"\0"}[self.config["mode"]]]
            for nodes in (self.config["members"], self.config.get("learners", [])):
                parts += [_u64(len(nodes)), *(uuid.UUID(node).bytes for node in nodes)]
        elif self.kind == "noop":
            parts += [b"\3"]
        else:
            raise QuorateError("broken_chain", f"slot {self.slot} is a {self.kind}", "use a newer client")
        return hashlib.sha256(b"".join(parts)).hexdigest()


@dataclasses.dataclass(frozen=True)
class Log:
    """A page of the log. `committed` is what the node knows, `next` the start of the next page."""

    committed: Position
    entries: list[Entry]
    next: int


@dataclasses.dataclass(frozen=True)
class Event:
    """Something that happened. Only commits have an `id`: their slot."""

    name: str
    data: dict
    id: int | None = None


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _known(kind: type, found: dict, /, **given: Any) -> Any:
    """An instance of a class from what JSON brought; fields of a later version are passed over."""
    names = {field.name for field in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in found.items() if name in names}, **given)


def chain(after: Position, contents: Iterable[dict]) -> list[Entry]:
    """The entries that contents, as frames carry them, make behind a position."""
    entries = []
    for content in contents:
        kind, held = content["kind"], {}
        if isinstance(kind, dict):
            ((kind, held),) = kind.items()
        fields = {"config": held} if kind == "config" else {**held, "request_id": held.get("id")}
        entry = _known(Entry, fields, slot=after.slot + 1, hash="", epoch=content["epoch"], kind=kind)
        entry = dataclasses.replace(entry, hash=entry.hash_after(after.hash))
        entries.append(entry)
        after = Position(entry.slot, entry.hash)
    return entries


def verified(entries: Iterable[Entry], after: Position = GENESIS) -> Iterator[Entry]:
    """The same entries, each once its hash was computed here from the one before.

    Raises QuorateError `broken_chain` at the first that does not follow.
    """
    for entry in entries:
        if entry.slot != after.slot + 1 or entry.hash != entry.hash_after(after.hash):
            message = f"slot {entry.slot} does not follow slot {after.slot} {after.hash}"
            raise QuorateError("broken_chain", message, "compare the nodes with `node log --verify`")
        after = Position(entry.slot, entry.hash)
        yield entry


def effective(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The values among the entries that take effect: no void ones, none a second time.

    To be exact for the entries of slot N, begin 100,000 slots before it, or at 1.
    """
    ids: dict[str, int] = {}  # in the order of the slots
    for entry in entries:
        if entry.kind != "value" or (entry.until is not None and entry.until < entry.slot):
            continue
        while ids and next(iter(ids.values())) + IDS_REMEMBERED < entry.slot:
            del ids[next(iter(ids))]
        if entry.request_id not in ids:
            ids[entry.request_id] = entry.slot
            yield entry


def sse(lines: Iterable[bytes | None]) -> Iterator[Event]:
    """The events that lines of a stream of server-sent events spell. None: a new stream begins."""
    fields: dict[str, str] = {}
    for line in lines:
        text = None if line is None else line.decode().rstrip("\r\n")
        if text is None:
            fields = {}
        elif text:
            name, _, value = text.partition(":")
            value = value[1:] if value.startswith(" ") else value
            if name == "data" and "data" in fields:
                value = fields["data"] + "\n" + value
            fields[name] = value
        else:
            if "event" in fields and "data" in fields:
                number = int(fields["id"]) if "id" in fields else None
                yield Event(fields["event"], json.loads(fields["data"]), number)
            fields = {}


class Client:
    """A client of one cluster: of the nodes given, the first one that answers is used, until it does not.

    Nodes are `host:port` or URLs. Reads that are not linearizable may step back when another node takes
    over. Every method raises QuorateError. Not to be shared between threads.
    """

    def __init__(self, *nodes: str, token: str | None = None):
        if not nodes:
            raise ValueError("at least one node is needed")
        self._nodes = [urlsplit(node if "//" in node else f"http://{node}") for node in nodes]
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._at = 0

    def propose(
        self,
        value: str,
        *,
        request_id: str | None = None,
        until: int | None = None,
        timeout: float = 30.0,
        wait: bool = True,
    ) -> Outcome:
        """Proposes a value, and asks again under one id until it is decided or `timeout` seconds passed.

        Without `wait` it is enough that a node took it. A rejection counts only if no earlier attempt
        may have taken effect; otherwise the outcome stays unknown.
        """
        body = {"value": value, "request_id": request_id or str(uuid.uuid4()), "wait": wait}
        body.update({} if until is None else {"until": until})
        deadline, pause = time.monotonic() + timeout, PAUSE_MIN
        is_open = False  # whether some attempt may still take effect
        refusals = 0  # without an error between them
        last: Outcome | QuorateError
        while True:
            patience = max(0.05, min(ATTEMPT_TIMEOUT, deadline - time.monotonic()))
            body["timeout"] = f"{math.ceil(patience * 1000)}ms"
            try:
                status, answer = self._ask("POST", "/v1/proposals", body, patience + 2.0)
                last = _outcome(answer)
            except QuorateError as error:
                if not error.is_temporary and not is_open:
                    raise
                last, refusals = error, 0
                is_open = is_open or error.code != "unreachable"
            else:
                if status == 409 or not isinstance(last, (Rejected, Unknown)):
                    return last
                is_open = is_open or isinstance(last, Unknown)
                refusals += 1
                if refusals == len(self._nodes) and not is_open:
                    return last
            left = deadline - time.monotonic()
            if left <= 0:
                if is_open:
                    return Unknown(body["request_id"])
                if isinstance(last, QuorateError):
                    raise last
                return last
            self._turn()
            time.sleep(min(left, random.uniform(0, pause)))
            pause = min(2 * pause, PAUSE_MAX)

    def log(self, start: int = 1, limit: int | None = None, *, linearizable: bool = False) -> Log:
        """A page of committed entries; linearizable, at least all that was acknowledged before."""
        query = f"?from={start}" + ("" if limit is None else f"&limit={limit}")
        answer = self._get(f"/v1/log{query}{_read(linearizable, '&')}")
        entries = [_known(Entry, entry) for entry in answer["entries"]]
        return Log(_known(Position, answer["committed"]), entries, answer["next"])

    def entries(self, start: int = 1, *, linearizable: bool = False) -> Iterator[Entry]:
        """All entries from `start` that are committed now, page by page."""
        page = self.log(start, linearizable=linearizable)
        last = page.committed.slot
        while page.entries:
            yield from (entry for entry in page.entries if entry.slot <= last)
            if page.next > last:
                return
            page = self.log(page.next, linearizable=linearizable)

    def entry(self, slot: int, *, linearizable: bool = False) -> Entry:
        """One entry; QuorateError `no_such_slot` if nothing is committed there."""
        return _known(Entry, self._get(f"/v1/log/{slot}{_read(linearizable, '?')}"))

    def follow(self, start: int = 1, *, patience: float = 60.0) -> Iterator[Entry]:
        """Every entry from `start`, in order, each once, for ever: goes on at another node where one fails.

        Raises when no node could be reached for `patience` seconds.
        """
        following = max(start, 1)

        def request() -> tuple[str, dict]:
            return f"/v1/log?follow=true&from={following}", {}

        for line in self._lines(request, patience):
            if line is not None:
                entry = _known(Entry, json.loads(line))
                following = entry.slot + 1
                yield entry

    def events(self, start: int | None = None, *, after: int | None = None, patience: float = 60.0) -> Iterator[Event]:
        """What happens, for ever: commits from slot `start`, or behind slot `after`, or from now on.

        Commits come in order without a hole, also over a change of the node. Other events are lost while
        no node is connected; `missed` says how many a node dropped because they were read too slowly.
        """

        def request() -> tuple[str, dict]:
            if after is not None:
                return "/v1/events", {"last-event-id": str(after)}
            return "/v1/events" + ("" if start is None else f"?from={start}"), {}

        for event in sse(self._lines(request, patience)):
            if event.name == "start" and after is None:
                start = event.data["from"]
            if event.name == "commit":
                after = event.id
            yield event

    def status(self) -> dict:
        """Where the node stands, and in `verdict` why nothing commits."""
        return self._get("/v1/status")

    def peers(self) -> list[dict]:
        """The peers that the node knows."""
        return self._get("/v1/peers")["peers"]

    def send(self, text: str, to: str | None = None) -> dict:
        """Sends a text to one peer, or to all that are online: `by` has it, `missing` did not say so.

        Another node is asked only if this one could not be: two nodes would send it twice.
        """
        body = {"text": text} if to is None else {"text": text, "to": to}
        return self._each(lambda: self._ask("POST", "/v1/messages", body, DELIVERY_TIMEOUT)[1], "unreachable")

    def _get(self, path: str) -> dict:
        return self._each(lambda: self._ask("GET", path)[1])

    def _each(self, ask: Callable[[], Any], *codes: str) -> Any:
        """The first answer of the nodes; after failures of these codes, else temporary ones, the next is asked."""
        for attempt in range(len(self._nodes)):
            try:
                return ask()
            except QuorateError as error:
                is_last = attempt + 1 == len(self._nodes)
                if is_last or not (error.code in codes if codes else error.is_temporary):
                    raise
                self._turn()
        return None

    def _turn(self) -> None:
        self._at = (self._at + 1) % len(self._nodes)

    def _ask(
        self, method: str, path: str, body: dict | None = None, timeout: float = ANSWER_TIMEOUT
    ) -> tuple[int, dict]:
        """The status and the JSON of an answer. A proposal that is rejected is an answer, too."""
        with self._exchange(method, path, body, {}, timeout) as response:
            answer = self._json(response)
            if "error" in answer:
                raise _refusal(response.status, answer)
            return response.status, answer

    def _lines(self, request: Callable[[], tuple[str, dict]], patience: float) -> Iterator[bytes | None]:
        """The whole lines of a stream that is requested anew, of the next node, whenever it ends.

        None stands before the first line of each. `request` tells path and headers, each time.
        """
        pause, connected = PAUSE_MIN, time.monotonic()
        while True:
            path, headers = request()
            try:
                with self._exchange("GET", path, None, headers, SILENCE_MAX) as response:
                    if response.status != 200:
                        raise _refusal(response.status, self._json(response))
                    yield None
                    connected = time.monotonic()
                    while (line := response.readline(ANSWER_BYTES_MAX)).endswith(b"\n"):
                        pause, connected = PAUSE_MIN, time.monotonic()
                        yield line
                    # Half a line is told again, whole, by the next stream.
            except QuorateError as error:
                if not error.is_temporary or time.monotonic() - connected > patience:
                    raise
            self._turn()
            time.sleep(random.uniform(0, pause))
            pause = min(2 * pause, PAUSE_MAX)

    @contextmanager
    def _exchange(
        self, method: str, path: str, body: dict | None, headers: dict, timeout: float
    ) -> Iterator[http.client.HTTPResponse]:
        """The head of an answer, whose body can be read; failures there are told as `lost`, too."""
        node = self._nodes[self._at]
        kind = http.client.HTTPSConnection if node.scheme == "https" else http.client.HTTPConnection
        connection = kind(node.hostname or "", node.port, timeout=CONNECT_TIMEOUT)
        with closing(connection):
            try:
                connection.connect()
            except OSError as error:
                message = f"no node answers at {node.geturl()}: {error}"
                hint = "is it running, and is this its admin address?"
                raise QuorateError("unreachable", message, hint) from error
            try:
                connection.sock.settimeout(timeout)
                content, headers = None, {**self._headers, **headers, "connection": "close"}
                if body is not None:
                    content, headers["content-type"] = json.dumps(body).encode(), "application/json"
                connection.request(method, node.path.rstrip("/") + path, content, headers)
                with closing(connection.getresponse()) as response:
                    yield response
            except (OSError, http.client.HTTPException) as error:
                message = f"{node.geturl()} did not answer to the end: {error!r}"
                raise QuorateError("lost", message, "ask again, or ask another node") from error

    def _json(self, response: http.client.HTTPResponse) -> dict:
        text = response.read(ANSWER_BYTES_MAX)
        try:
            answer = json.loads(text)
            if isinstance(answer, dict):
                return answer
        except ValueError:
            pass
        message = f"{self._nodes[self._at].geturl()} answered {response.status} {text[:80]!r}"
        raise QuorateError("strange", message, "is it a node of this version?", response.status)


def _refusal(status: int, answer: dict) -> QuorateError:
    error = answer.get("error", {})
    words = (str(error.get(name, "none given")) for name in ("code", "message", "hint"))
    return QuorateError(*words, status)


def _outcome(answer: dict) -> Outcome:
    kinds = {kind.__name__.lower(): kind for kind in (Committed, Duplicate, Rejected, Unknown, Pending)}
    if answer.get("outcome") not in kinds:
        raise QuorateError("strange", f"an outcome is not {answer}", "is it a node of this version?")
    return _known(kinds[answer["outcome"]], answer)


def _read(linearizable: bool, mark: str) -> str:
    return f"{mark}read=linearizable" if linearizable else ""


if __name__ == "__main__":
    from quorate_cli import main

    sys.exit(main())
