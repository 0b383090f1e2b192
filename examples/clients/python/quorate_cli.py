"""The command line of the client: `python3 quorate.py --help`. It prints one JSON object per line."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import quorate
import quorate_vectors
import quorate_wire
from quorate import Client, Position, QuorateError

# As those of `node`: 0 committed or done, and these.
EXIT_REJECTED, EXIT_UNKNOWN, EXIT_UNREACHABLE, EXIT_NO_QUORUM, EXIT_CHECK = 3, 4, 5, 6, 10
EXIT_CODES = {
    "unreachable": EXIT_UNREACHABLE,
    "lost": EXIT_UNREACHABLE,
    "no_quorum": EXIT_NO_QUORUM,
    "broken_chain": EXIT_CHECK,
}


def show(found: Any, **more: Any) -> None:
    """Prints one line of JSON."""
    if dataclasses.is_dataclass(found):
        fields = {**more, **dataclasses.asdict(found)}
        found = {name: value for name, value in fields.items() if value is not None}
    print(json.dumps(found, ensure_ascii=False), flush=True)


def propose(client: Client, args: argparse.Namespace) -> int:
    outcome = client.propose(
        args.value, request_id=args.request_id, until=args.until, timeout=args.timeout, wait=not args.no_wait
    )
    show(outcome, outcome=type(outcome).__name__.lower())
    return {quorate.Rejected: EXIT_REJECTED, quorate.Unknown: EXIT_UNKNOWN}.get(type(outcome), 0)


def log(client: Client, args: argparse.Namespace) -> None:
    start = max(args.start, 1)
    entries = client.follow(start) if args.follow else client.entries(start, linearizable=args.linearizable)
    if args.verify:
        after = quorate.GENESIS
        if start > 1:
            before = client.entry(start - 1)
            after = Position(before.slot, before.hash)
        entries = quorate.verified(entries, after)
    for entry in itertools.islice(entries, args.limit):
        show(entry)


def entry(client: Client, args: argparse.Namespace) -> None:
    show(client.entry(args.slot, linearizable=args.linearizable))


def watch(client: Client, args: argparse.Namespace) -> None:
    for event in itertools.islice(client.events(args.start, after=args.after), args.limit):
        show(event)


def status(client: Client, args: argparse.Namespace) -> None:
    show(client.status())


def peers(client: Client, args: argparse.Namespace) -> None:
    for peer in client.peers():
        show(peer)


def send(client: Client, args: argparse.Namespace) -> int | None:
    delivery = client.send(args.text, args.to)
    show(delivery)
    return EXIT_UNKNOWN if delivery["missing"] else None


def listen(client: Client, args: argparse.Namespace) -> None:
    with ExitStack() as stack:
        record = stack.enter_context(open(args.record, "wb", buffering=0)) if args.record else None
        link = stack.enter_context(quorate_wire.Link.dial(args.address, args.cluster, args.name, record))
        show({"linked": link.peer["node"], "name": link.peer["name"], "as": link.node})
        messages = link.messages(args.seconds)
        if args.types:
            messages = (message for message in messages if message["message_type"] in args.types)
        for message in itertools.islice(messages, args.limit):
            show(message)


def decode(client: Client, args: argparse.Namespace) -> None:
    stream = sys.stdin.buffer.read() if args.file == "-" else Path(args.file).read_bytes()
    frames = quorate_wire.Frames()
    for frame in frames.feed(stream):
        show(quorate_wire.decode(frame))
    if frames.rest:
        raise QuorateError("unfinished", f"{frames.rest} bytes of a frame are left", "give the whole stream")


def selftest(client: Client, args: argparse.Namespace) -> None:
    for name, count in quorate_vectors.check(Path(args.directory)):
        show({"vectors": name, "held": count})


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="quorate.py", description=__doc__)
    top.add_argument(
        "--node", action="append", metavar="HOST:PORT", help="where HTTP is served; again for further nodes"
    )
    top.add_argument("--token-file", metavar="FILE", help="the file that holds the token")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(run: Any, about: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(run.__name__, help=about, description=about)
        sub.set_defaults(run=run)
        return sub

    sub = command(propose, "propose a value and wait for the outcome")
    sub.add_argument("value")
    sub.add_argument("--request-id", metavar="UUID", help="makes repeating the command safe")
    sub.add_argument("--until", type=int, metavar="SLOT", help="the last slot in which it may take effect")
    sub.add_argument("--timeout", type=float, default=30.0, metavar="SECONDS")
    sub.add_argument("--no-wait", action="store_true", help="be content when a node took it")
    sub = command(log, "print committed entries")
    sub.add_argument("--from", dest="start", type=int, default=1, metavar="SLOT")
    sub.add_argument("--limit", type=int, metavar="COUNT")
    sub.add_argument("--linearizable", action="store_true", help="at least all that was acknowledged before")
    sub.add_argument("--follow", action="store_true", help="go on as entries are committed")
    sub.add_argument("--verify", action="store_true", help="compute the hash chain here")
    sub = command(entry, "print one entry")
    sub.add_argument("slot", type=int)
    sub.add_argument("--linearizable", action="store_true")
    sub = command(watch, "print events as they happen")
    sub.add_argument("--from", dest="start", type=int, metavar="SLOT", help="with the commits from here")
    sub.add_argument("--after", type=int, metavar="SLOT", help="with the commits behind the last one seen")
    sub.add_argument("--limit", type=int, metavar="COUNT")
    command(status, "print where the node stands, and why nothing commits")
    command(peers, "print the peers that the node knows")
    sub = command(send, "send a text, apart from the log")
    sub.add_argument("text")
    sub.add_argument("--to", metavar="PEER", help="the id or name of one peer; all that are online if none")
    sub = command(listen, "meet a node as a peer and print the messages that it sends")
    sub.add_argument("address", metavar="HOST:PORT", help="where the node listens for peers")
    sub.add_argument("--cluster", default="quorate")
    sub.add_argument("--name", default="listener")
    sub.add_argument("--seconds", type=float, metavar="SECONDS", help="how long; without end if none")
    sub.add_argument("--limit", type=int, metavar="COUNT")
    sub.add_argument("--type", action="append", dest="types", metavar="TYPE", help="print messages of this type only")
    sub.add_argument("--record", metavar="FILE", help="keep the frames that come, for decode")
    sub = command(decode, "print the messages of recorded frames")
    sub.add_argument("file", nargs="?", default="-", help="bytes as they were sent; standard input if none")
    sub = command(selftest, "hold this client against the vectors of the protocol")
    sub.add_argument("directory", help="tests/vectors of the project")
    return top


def main() -> int:
    args = parser().parse_args()
    try:
        token = Path(args.token_file).read_text().strip() if args.token_file else None
        return args.run(Client(*(args.node or ["127.0.0.1:9001"]), token=token), args) or 0
    except QuorateError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_CODES.get(error.code, 1)
    except BrokenPipeError:
        # Whoever read this has seen enough. What is still buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
