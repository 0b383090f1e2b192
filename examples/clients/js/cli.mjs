/** The command line of the client: `node quorate.mjs --help`. It prints one JSON object per line. */

import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { parseArgs } from "node:util";

import { Client, GENESIS, QuorateError, verified } from "./quorate.mjs";
import { check } from "./vectors.mjs";
import { Frames, Link, decode } from "./wire.mjs";

const USAGE = `usage: node quorate.mjs [--node HOST:PORT]... [--token-file FILE] COMMAND
  propose VALUE [--request-id UUID] [--until SLOT] [--timeout SECONDS] [--no-wait]
  log [--from SLOT] [--limit COUNT] [--linearizable] [--follow] [--verify]
  entry SLOT [--linearizable]
  watch [--from SLOT] [--after SLOT] [--limit COUNT]
  status
  peers
  send TEXT [--to PEER]
  listen HOST:PORT [--cluster NAME] [--name NAME] [--seconds SECONDS] [--limit COUNT] [--type TYPE]... [--record FILE]
  decode [FILE]
  selftest DIRECTORY`;

// As those of `node`: 0 committed or done, and these.
const EXIT = { usage: 2, rejected: 3, unknown: 4, unreachable: 5, lost: 5, no_quorum: 6, broken_chain: 10 };

/** What was typed is no command. */
class UsageError extends Error {}

const flag = { type: "boolean", default: false };
const text = { type: "string" };
const texts = { type: "string", multiple: true };

/** Every command: its options, how many words it takes at least and at most, and what it does. */
const COMMANDS = {
  propose: [{ "request-id": text, until: text, timeout: text, "no-wait": flag }, [1, 1], propose],
  log: [{ from: text, limit: text, linearizable: flag, follow: flag, verify: flag }, [0, 0], log],
  entry: [{ linearizable: flag }, [1, 1], entry],
  watch: [{ from: text, after: text, limit: text }, [0, 0], watch],
  status: [{}, [0, 0], async (client) => show(await client.status())],
  peers: [{}, [0, 0], async (client) => (await client.peers()).forEach(show)],
  send: [{ to: text }, [1, 1], send],
  listen: [
    { cluster: text, name: text, seconds: text, limit: text, type: texts, record: text },
    [1, 1],
    listen,
  ],
  decode: [{}, [0, 1], decodeFile],
  selftest: [{}, [1, 1], selftest],
};

function show(found) {
  // Synchronous: a reader of the pipe sees each line when it is there.
  writeSync(1, `${JSON.stringify(found)}\n`);
}

async function showSome(found, limit) {
  if (limit === 0) return;
  let shown = 0;
  for await (const each of found) {
    show(each);
    shown += 1;
    if (shown === limit) return;
  }
}

/** The whole number in an option, if it is given. */
function number(options, name) {
  const given = options[name];
  if (given === undefined) return undefined;
  if (!/^[0-9]+$/.test(given)) throw new UsageError(`--${name} wants a whole number, not '${given}'`);
  return Number(given);
}

/** The seconds in an option, in milliseconds, if it is given. */
function milliseconds(options, name) {
  const given = options[name];
  if (given === undefined) return undefined;
  if (!/^[0-9]+([.][0-9]+)?$/.test(given)) throw new UsageError(`--${name} wants seconds, not '${given}'`);
  return Number(given) * 1_000;
}

async function propose(client, options, [value]) {
  const [timeout, until] = [milliseconds(options, "timeout"), number(options, "until")];
  const asked = { requestId: options["request-id"], until, timeout, wait: !options["no-wait"] };
  const outcome = await client.propose(value, asked);
  show(outcome);
  return EXIT[outcome.outcome];
}

async function log(client, options) {
  const from = Math.max(number(options, "from") ?? 1, 1);
  const { follow, linearizable, verify } = options;
  let entries = follow ? client.follow(from) : client.entries(from, { linearizable });
  if (verify) entries = verified(entries, from > 1 ? await client.entry(from - 1) : GENESIS);
  await showSome(entries, number(options, "limit"));
}

async function entry(client, { linearizable }, [slot]) {
  show(await client.entry(number({ slot }, "slot"), { linearizable }));
}

async function watch(client, options) {
  const events = client.events({ from: number(options, "from"), after: number(options, "after") });
  await showSome(events, number(options, "limit"));
}

async function send(client, { to }, [words]) {
  const delivery = await client.send(words, { to });
  show(delivery);
  return delivery.missing.length > 0 ? EXIT.unknown : 0;
}

async function listen(_, options, [address]) {
  const { cluster, name, type: types } = options;
  const file = options.record === undefined ? undefined : openSync(options.record, "w");
  const record = file === undefined ? undefined : (frame) => writeSync(file, frame);
  const link = await Link.dial(address, { cluster, name, record });
  try {
    show({ linked: link.peer.node, name: link.peer.name, as: link.node });
    const messages = link.messages({ milliseconds: milliseconds(options, "seconds") });
    const wanted = types === undefined ? messages : ofTypes(messages, types);
    await showSome(wanted, number(options, "limit"));
  } finally {
    link.close();
    if (file !== undefined) closeSync(file);
  }
}

async function* ofTypes(messages, types) {
  for await (const message of messages) {
    if (types.includes(message.message_type)) yield message;
  }
}

function decodeFile(_, options, [file = "-"]) {
  const frames = new Frames();
  for (const frame of frames.feed(readFileSync(file === "-" ? 0 : file))) show(decode(frame));
  if (frames.rest > 0) {
    throw new QuorateError("unfinished", `${frames.rest} bytes of a frame are left`, "give the whole stream");
  }
}

async function selftest(_, options, [directory]) {
  for await (const [vectors, held] of check(directory)) show({ vectors, held });
}

function read() {
  const everywhere = { node: texts, "token-file": text, help: { ...flag, short: "h" } };
  const options = Object.assign({}, everywhere, ...Object.values(COMMANDS).map(([own]) => own));
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const [name, ...words] = positionals;
  if (values.help) return { help: true };
  if (!Object.hasOwn(COMMANDS, name ?? "")) throw new UsageError(`there is no command '${name ?? ""}'`);
  const [own, [least, most], run] = COMMANDS[name];
  if (words.length < least || words.length > most) throw new UsageError(`${name} takes other words`);
  for (const [option, value] of Object.entries(values)) {
    const isOwn = option in own || option in everywhere;
    if (!isOwn && value !== false) throw new UsageError(`${name} does not take --${option}`);
  }
  return { run, values, words };
}

export async function main() {
  try {
    const { help, run, values, words } = read();
    if (help) return console.log(USAGE);
    const token = values["token-file"] && readFileSync(values["token-file"], "utf8").trim();
    const client = new Client(values.node ?? ["127.0.0.1:9001"], { token });
    process.exitCode = (await run(client, values, words)) ?? 0;
  } catch (error) {
    if (error.code === "EPIPE") return; // whoever read this has seen enough
    const isUsage = error instanceof UsageError || error.code?.startsWith("ERR_PARSE_ARGS");
    console.error(`error: ${error.message}${isUsage ? `\n${USAGE}` : ""}`);
    process.exitCode = isUsage ? EXIT.usage : (EXIT[error.code] ?? 1);
  }
}
