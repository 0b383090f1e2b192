"""The peers' side of quorate: frames, messages, the handshake, and a link to a node.

`docs/PROTOCOL.md` is what this follows. A link here listens: it answers pings, acknowledges texts, lives,
and says nothing about the log.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import time
import uuid
from collections.abc import Iterator
from typing import Any, BinaryIO, Callable

import ed25519
from quorate import QuorateError

FRAME_BYTES_MAX = 8 * 1024 * 1024
HELLO_FRAME_BYTES_MAX = 8 * 1024
INTEGER_MAX = 2**53 - 1
DEPTH_MAX = 32
VALUE_BYTES_MAX = 1024 * 1024
TEXT_BYTES_MAX = 256 * 1024
HANDSHAKE_TIMEOUT = 5.0  # seconds
HEARTBEAT_INTERVAL = 1.0  # seconds; after 5 silent ones a node closes the link
SILENCE_MAX = 5.0
SEEN_SECONDS = 120.0  # how long the id of a text is remembered


class Frames:
    """Cuts a stream of bytes into frames."""

    def __init__(self, bytes_max: int = FRAME_BYTES_MAX):
        self.bytes_max = bytes_max
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The frames that are whole by now. Raises QuorateError `zero_length` or `oversized`."""
        self._buffer += chunk
        while len(self._buffer) >= 4:
            length = int.from_bytes(self._buffer[:4], "big")
            if length == 0:
                raise _fault("zero_length", "a frame of no bytes")
            if length > self.bytes_max:
                raise _fault("oversized", f"a frame of {length} bytes, at most {self.bytes_max} are allowed")
            if len(self._buffer) < 4 + length:
                return
            frame = bytes(self._buffer[4 : 4 + length])
            del self._buffer[: 4 + length]
            yield frame

    @property
    def rest(self) -> int:
        """How many bytes are left of a frame that is not whole."""
        return len(self._buffer)


def encode(message: dict) -> bytes:
    """The frame that carries a message."""
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
    return len(text).to_bytes(4, "big") + text


def decode(frame: bytes) -> dict:
    """The message in a frame, without the fields that are not known here.

    `is_known` is False in it where type or statement is of a later version: such a message is passed
    over. Raises QuorateError under the names of `docs/PROTOCOL.md`: then the link is closed.
    """
    found = _strict(frame)
    envelope = _ENVELOPE(found, "bad_envelope")
    if "payload" not in found:
        raise _fault("bad_envelope", "payload is missing")
    kind, payload = envelope["message_type"], found["payload"]
    is_known = kind in _PAYLOADS
    if is_known:
        payload = _PAYLOADS[kind](payload, "bad_payload")
        if kind == "Consensus" and len(payload) > 2:
            raise _fault("bad_payload", "more than one statement")
        is_known = kind != "Consensus" or len(payload) == 2
    message = {
        "id": envelope["id"],
        "from": envelope["from"],
        "to": envelope.get("to"),
        "message_type": kind,
        "payload": payload if is_known else found["payload"],
        "timestamp": envelope["timestamp"],
    }
    return message if is_known else {**message, "is_known": False}


def _fault(name: str, message: str) -> QuorateError:
    return QuorateError(name, message, "close the link: no honest peer sends this")


def _strict(frame: bytes) -> Any:
    """The JSON in a frame, held to the rules for all fields, also of those that are ignored."""

    def number(text: str) -> float:
        value = float(text) if len(text) > 20 or not text.lstrip("-").isdigit() else int(text)
        if abs(value) > INTEGER_MAX:
            raise _fault("number_out_of_range", f"the number {text[:40]}")
        return value

    def members(pairs: list) -> dict:
        found: dict = {}
        for key, value in pairs:
            if key in found:
                raise _fault("duplicate_key", f"{key[:64]!r} stands twice in one object")
            found[key] = value
        return found

    def constant(text: str) -> None:
        raise _fault("bad_json", f"{text} is no JSON")

    try:
        value = json.loads(
            frame.decode(),
            parse_int=number,
            parse_float=number,
            parse_constant=constant,
            object_pairs_hook=members,
        )
        _walk(value, 0)
        return value
    except UnicodeDecodeError as error:
        raise _fault("bad_utf8", str(error)) from error
    except UnicodeEncodeError as error:
        raise _fault("bad_json", "an unpaired surrogate") from error
    except RecursionError as error:
        raise _fault("too_deep", f"more than {DEPTH_MAX} arrays and objects around each other") from error
    except ValueError as error:
        raise _fault("bad_json", str(error)) from error


def _walk(value: Any, depth: int) -> None:
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, (list, dict)):
        if depth == DEPTH_MAX:
            raise RecursionError
        for inner in value:
            _walk(inner, depth + 1)
            if isinstance(value, dict):
                _walk(value[inner], depth + 1)


# What messages are made of. Each shape takes a value and answers what is known of it, or raises.
Shape = Callable[[Any, str], Any]


def _when(holds: Callable[[Any], bool], what: str) -> Shape:
    def shape(value: Any, name: str) -> Any:
        if not holds(value):
            raise _fault(name, f"{json.dumps(value)[:80]} is not {what}")
        return value

    return shape


def _uint(largest: int = INTEGER_MAX) -> Shape:
    return _when(lambda value: type(value) is int and 0 <= value <= largest, f"a whole number up to {largest}")


def _text(least: int = 0, most: int | None = None) -> Shape:
    def holds(value: Any) -> bool:
        return isinstance(value, str) and least <= len(value.encode()) <= (most or FRAME_BYTES_MAX)

    return _when(holds, "a text within its limits")


def _pattern(pattern: str, what: str) -> Shape:
    compiled = re.compile(pattern)
    return _when(lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None, what)


def _hex(count: int) -> Shape:
    return _pattern(f"[0-9a-f]{{{2 * count}}}", f"{2 * count} lower-case hex digits")


def _list(item: Shape) -> Shape:
    is_list = _when(lambda value: isinstance(value, list), "a list")
    return lambda value, name: [item(each, name) for each in is_list(value, name)]


def _record(fields: dict[str, Shape]) -> Shape:
    """An object with these fields; those whose names end in `?` may be absent."""
    is_object = _when(lambda value: isinstance(value, dict), "an object")

    def shape(value: Any, name: str) -> dict:
        found = {}
        for field, inner in fields.items():
            key = field.rstrip("?")
            given = is_object(value, name).get(key)
            if given is not None:
                found[key] = inner(given, name)
            elif not field.endswith("?"):
                raise _fault(name, f"{key} is missing")
        return found

    return shape


def _kind(value: Any, name: str) -> Any:
    if value == "noop":
        return value
    found = _record({"value?": _PROPOSAL, "config?": _CONFIG})(value, name)
    if len(found) != 1 or len(value) != 1:
        raise _fault(name, "an entry is a value, a config or a noop")
    return found


_bool = _when(lambda value: isinstance(value, bool), "true or false")
_uuid = _pattern("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "a UUID in lower case with hyphens")
_POSITION = _record({"slot": _uint(), "hash": _hex(32)})
_PROPOSAL = _record({"id": _uuid, "value": _text(1, VALUE_BYTES_MAX), "until?": _uint()})
_CONFIG = _record(
    {"epoch": _uint(), "mode": _pattern("crash", "crash"), "members": _list(_uuid), "learners?": _list(_uuid)}
)
_ENTRIES = _list(_record({"epoch": _uint(), "kind": _kind}))
_ENVELOPE = _record({"id": _uuid, "from": _uuid, "to?": _uuid, "message_type": _text(), "timestamp": _uint()})
_HELLO = _record({
    "protocol": _record({"min": _uint(2**32 - 1), "max": _uint(2**32 - 1)}), "cluster": _text(), "node": _uuid,
    "key": _hex(32), "nonce": _hex(32), "boot": _uint(), "instance": _hex(16), "dial?": _uint(),
    "name": _text(), "host?": _text(), "port": _uint(65535), "capabilities?": _list(_text()),
})  # fmt: skip
_BEAT = _record({
    "hears?": _list(_uuid), "forming?": _bool, "founders?": _list(_uuid), "founded?": _list(_uuid),
    "leaving?": _bool,
})  # fmt: skip
_LOG = _record({
    "epoch": _uint(), "promised?": _uint(), "accepted?": _uint(), "voted": _POSITION, "last": _POSITION,
    "committed": _POSITION, "first_slot": _uint(), "suspects?": _uint(), "candidate?": _uint(),
    "leads?": _uint(), "healthy": _bool, "life": _uint(),
})  # fmt: skip
_PAYLOADS: dict[str, Shape] = {
    "Ping": _record({"hello?": _HELLO}),
    "Pong": _record({
        "re?": _uuid, "hello?": _HELLO, "proof?": _hex(64),
        "refused?": _record({"code": _text(), "reason": _text()}),
    }),
    "Data": _text(0, TEXT_BYTES_MAX),
    "HeartBeat": _record({"peers": _BEAT, "log?": _LOG}),
    "Consensus": _record({
        "epoch": _uint(),
        "vote?": _record({"round": _uint(), "voted": _POSITION, "committed": _POSITION, "counted?": _uint()}),
        "prepare?": _record({"round": _uint()}),
        "promise?": _record({
            "round": _uint(), "accepted?": _uint(), "last": _POSITION, "committed": _POSITION,
        }),
        "propose?": _record({
            "round": _uint(), "after": _POSITION, "entries": _ENTRIES, "committed": _POSITION, "adopt?": _bool,
        }),
        "refuse?": _record({"promised?": _uint(), "committed": _POSITION}),
        "fetch?": _record({"from": _uint(), "to": _uint()}),
        "entries?": _record(
            {"after": _POSITION, "entries": _ENTRIES, "committed": _POSITION, "more?": _bool}
        ),
        "submit?": _record({"proposals": _list(_PROPOSAL)}),
        "read?": _record({"nonce": _uint()}),
        "read_reply?": _record({"nonce": _uint(), "last": _POSITION}),
        "remember?": _record({"promised?": _uint(), "accepted?": _uint(), "voted": _POSITION}),
    }),
}  # fmt: skip


def node_id(key: bytes) -> str:
    """The id that belongs to a public key."""
    start = bytearray(hashlib.sha256(key).digest()[:16])
    start[6] = start[6] & 0x0F | 0x80
    start[8] = start[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(start)))


def proof_bytes(is_dialer: bool, dialer: dict, listener: dict) -> bytes:
    """What the dialer, or else the listener, signs: both hellos belong to it."""
    cluster = dialer["cluster"].encode()
    parts = [b"quorate hello 1\0", b"\1" if is_dialer else b"\2", len(cluster).to_bytes(8, "big"), cluster]
    for hello in (dialer, listener):
        parts += [uuid.UUID(hello["node"]).bytes, bytes.fromhex(hello["nonce"])]
        parts += [hello["boot"].to_bytes(8, "big"), bytes.fromhex(hello["instance"])]
    return b"".join(parts)


class Link:
    """A link to a node, under an identity of its own that lives as long as the link."""

    def __init__(self, connection: socket.socket, cluster: str, name: str, record: BinaryIO | None):
        self._socket, self._record = connection, record
        self._frames = Frames(HELLO_FRAME_BYTES_MAX)
        self._secret = os.urandom(32)
        key = ed25519.public_key(self._secret)
        self.node = node_id(key)
        self.peer: dict = {}  # the hello of the node
        self._hello = {
            "protocol": {"min": 1, "max": 1},
            "cluster": cluster,
            "node": self.node,
            "key": key.hex(),
            "nonce": os.urandom(32).hex(),
            "boot": 1,
            "instance": os.urandom(16).hex(),
            "dial": 1,
            "name": name,
            "port": 0,
        }

    @classmethod
    def dial(cls, address: str, cluster: str, name: str = "listener", record: BinaryIO | None = None) -> Link:
        """Connects to where a node listens for peers, and proves who is who within five seconds.

        All frames that come are written to `record`.
        """
        host, _, port = address.rpartition(":")
        try:
            connection = socket.create_connection((host.strip("[]"), int(port)), HANDSHAKE_TIMEOUT)
        except (OSError, ValueError) as error:
            message = f"no node listens at {address}: {error}"
            raise QuorateError("unreachable", message, "is it running, and is this its port for peers?") from error
        link = cls(connection, cluster, name, record)
        try:
            link._shake_hands()
        except BaseException:
            link.close()
            raise
        return link

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the link."""
        self._socket.close()

    def send(self, message_type: str, payload: Any, to: str | None = None) -> None:
        """Sends a message."""
        message = {
            "id": str(uuid.uuid4()),
            "from": self.node,
            "to": to,
            "message_type": message_type,
            "payload": payload,
            "timestamp": int(time.time()),
        }
        try:
            self._socket.settimeout(SILENCE_MAX)
            self._socket.sendall(encode(message))
        except OSError as error:
            raise self._lost(str(error)) from error

    def messages(self, seconds: float | None = None) -> Iterator[dict]:
        """What the node says, each text once, for so many seconds; keeps the link alive meanwhile.

        Read on without long pauses: heartbeats are sent only while this waits for messages.
        """
        begun = heard = beat = time.monotonic()
        chunk = b""
        seen: dict[str, float] = {}
        while True:
            for frame in self._frames.feed(chunk):
                message = self._taken(frame)
                if self._answered(message, seen):
                    yield message
            now = time.monotonic()
            if seconds is not None and now - begun >= seconds:
                return
            if now - heard >= SILENCE_MAX:
                raise self._lost(f"nothing was heard for {SILENCE_MAX:.0f} s")
            if now >= beat:
                self.send("HeartBeat", {"peers": {"hears": [self.peer["node"]]}})
                beat = now + HEARTBEAT_INTERVAL
            wait = min(beat - now, SILENCE_MAX if seconds is None else begun + seconds - now)
            chunk = self._receive(wait)
            heard = time.monotonic() if chunk else heard

    def _answered(self, message: dict, seen: dict[str, float]) -> bool:
        """Answers a message if it wants an answer; tells whether it is new."""
        if message["from"] != self.peer["node"]:
            raise _fault("bad_envelope", f"{message['from']} speaks on the link of {self.peer['node']}")
        kind, now = message["message_type"], time.monotonic()
        if kind in ("Ping", "Data"):
            self.send("Pong", {"re": message["id"]}, to=message["from"])
        if kind != "Data":
            return True
        while seen and now - next(iter(seen.values())) > SEEN_SECONDS:
            del seen[next(iter(seen))]
        is_new = message["id"] not in seen
        seen.setdefault(message["id"], now)
        return is_new

    def _receive(self, seconds: float) -> bytes:
        """What comes within so many seconds; nothing if nothing came."""
        try:
            self._socket.settimeout(max(seconds, 0.001))
            chunk = self._socket.recv(65536)
        except socket.timeout:
            return b""
        except OSError as error:
            raise self._lost(str(error)) from error
        if not chunk:
            raise self._lost("it closed the link")
        return chunk

    def _taken(self, frame: bytes) -> dict:
        if self._record:
            self._record.write(len(frame).to_bytes(4, "big") + frame)
        return decode(frame)

    def _shake_hands(self) -> None:
        deadline = time.monotonic() + HANDSHAKE_TIMEOUT
        self.send("Ping", {"hello": self._hello})
        frame = None
        while frame is None:
            if time.monotonic() >= deadline:
                raise self._lost("the handshake was not done in time")
            chunk = self._receive(deadline - time.monotonic())
            frame = next(self._frames.feed(chunk), None)
        answer = self._taken(frame)
        payload = answer["payload"] if answer["message_type"] == "Pong" else {}
        if "refused" in payload:
            refused = payload["refused"]
            raise QuorateError(refused["code"], f"refused: {refused['reason']}", "see Refusals in docs/PROTOCOL.md")
        hello = payload.get("hello")
        if hello is None or "proof" not in payload:
            raise _fault("bad_hello", "something else came where a hello and its proof are due")
        if hello["cluster"] != self._hello["cluster"]:
            message = f"the node belongs to {hello['cluster']!r}"
            raise QuorateError("wrong_cluster", message, "name that cluster")
        if not hello["protocol"]["min"] <= 1 <= hello["protocol"]["max"]:
            raise QuorateError("wrong_protocol", f"the node speaks {hello['protocol']}", "use another client")
        key = bytes.fromhex(hello["key"])
        if hello["node"] != node_id(key) or answer["from"] != hello["node"]:
            raise _fault("bad_id", f"{hello['node']} does not belong to the key")
        proof = bytes.fromhex(payload["proof"])
        if not ed25519.verify(key, proof_bytes(False, self._hello, hello), proof):
            raise _fault("bad_proof", "the signature does not fit key and connection")
        own = ed25519.sign(self._secret, proof_bytes(True, self._hello, hello))
        self.send("Pong", {"proof": own.hex()})
        self.peer, self._frames.bytes_max = hello, FRAME_BYTES_MAX

    def _lost(self, why: str) -> QuorateError:
        return QuorateError("lost", f"the link to the node is lost: {why}", "dial again")
