"""Holds this client against the vectors of the protocol, the files of `tests/vectors/`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import ed25519
import quorate
import quorate_wire as wire
from quorate import Position, QuorateError


def check(directory: Path) -> Iterator[tuple[str, int]]:
    """Every file with the number of its vectors that were held. Raises QuorateError `broken_vector`."""
    for name, hold in _CHECKS.items():
        vectors = json.loads((directory / name).read_text("utf-8"))
        for vector in vectors:
            hold(vector, vectors)
        if not vectors:
            raise QuorateError("broken_vector", f"{name} is empty", "give the directory tests/vectors")
        yield name, len(vectors)


def _same(vector: dict, found: Any, wanted: Any) -> None:
    if found != wanted:
        message = f"{vector['name']}: {found} is not {wanted}"
        raise QuorateError("broken_vector", message, "mend the client, or the vector")


def _outcome_of(run: Callable[[], Any]) -> Any:
    try:
        return run()
    except QuorateError as error:
        return error.code


def _frames(vector: dict, _: list) -> None:
    stream = bytes.fromhex(vector["hex"])
    for cut in range(len(stream) + 1):  # a stream may be cut anywhere
        frames, found, error = wire.Frames(vector["bytes_max"]), [], None
        try:
            for part in (stream[:cut], stream[cut:]):
                found += [] if error else [frame.decode() for frame in frames.feed(part)]
        except QuorateError as fault:
            error = fault.code
        _same(vector, error, vector.get("error"))
        if error is None:
            _same(vector, found, vector["frames"])


def _messages(vector: dict, _: list) -> None:
    found = wire.decode(json.dumps(vector["message"]).encode())
    if "unknown_kind" in vector:
        _same(vector, (found["message_type"], found["is_known"]), (vector["unknown_kind"], False))
        return
    _same(vector, found, vector.get("means", vector["message"]))
    (frame,) = wire.Frames().feed(wire.encode(found))
    _same(vector, wire.decode(frame), found)


def _invalid(vector: dict, _: list) -> None:
    frame = vector["text"].encode() if "text" in vector else bytes.fromhex(vector["hex"])
    _same(vector, _outcome_of(lambda: wire.decode(frame)), vector["error"])


def _handshake(vector: dict, vectors: list) -> None:
    message = wire.decode(json.dumps(vector["message"]).encode())
    _same(vector, message, vector["message"])
    if "signed" not in vector:
        return
    dialer, listener = (step["message"]["payload"]["hello"] for step in vectors[:2])
    is_dialer = "hello" not in message["payload"]
    hello = dialer if is_dialer else listener
    secret, signed = bytes.fromhex(vector["secret_key"]), wire.proof_bytes(is_dialer, dialer, listener)
    key, proof = ed25519.public_key(secret), ed25519.sign(secret, signed)
    _same(vector, (key.hex(), wire.node_id(key)), (hello["key"], hello["node"]))
    _same(vector, (signed.hex(), proof.hex()), (vector["signed"], message["payload"]["proof"]))


def _proofs(vector: dict, _: list) -> None:
    key, signed, proof = (bytes.fromhex(vector[name]) for name in ("key", "signed", "proof"))
    _same(vector, ed25519.verify(key, signed, proof), vector["holds"])


def _entries(vector: dict, _: list) -> None:
    after = Position(**vector["after"])
    (entry,) = quorate.chain(after, [vector["content"]])
    _same(vector, entry.hash, vector["hash"])
    shown = quorate.Entry(**vector["shown"])
    _same(vector, shown, entry)
    _same(vector, list(quorate.verified([shown], after)), [entry])
    forged = dataclasses.replace(shown, epoch=shown.epoch + 1)
    _same(vector, _outcome_of(lambda: list(quorate.verified([forged], after))), "broken_chain")


_CHECKS: dict[str, Callable[[dict, list], None]] = {
    "frames.json": _frames,
    "messages.json": _messages,
    "invalid.json": _invalid,
    "handshake.json": _handshake,
    "proofs.json": _proofs,
    "entries.json": _entries,
}
