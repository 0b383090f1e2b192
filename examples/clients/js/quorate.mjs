#!/usr/bin/env node
/**
 * A client of quorate's nodes: propose values, read and follow the log, watch what happens.
 *
 * Node.js 20 or newer, no packages. This file alone is the HTTP client: copy it. The files beside it add
 * the peers' side, raw frames and their handshake, for `listen`, `decode` and `selftest`.
 *
 *     const client = new Client(["127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003"]);
 *     const outcome = await client.propose("blue");
 *     if (outcome.outcome === "committed") console.log(outcome.slot);
 *     for await (const entry of client.follow(1)) console.log(entry.slot, entry.value);
 *
 * `docs/API.md` tells what is asked here, `docs/PROTOCOL.md` what an entry's hash is made of.
 */

import { createHash, randomUUID } from "node:crypto";
import { realpathSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";

const ATTEMPT_TIMEOUT = 5_000; // ms, for one node to decide before another one is asked
const ANSWER_TIMEOUT = 20_000; // ms, for a short answer; a node gives up on a quorum after 15 s
const DELIVERY_TIMEOUT = 40_000; // ms; a node waits 30 s for the receiving ends
const SILENCE_MAX = 40_000; // ms without a byte; events come, or a comment every 15 s
const [PAUSE_MIN, PAUSE_MAX] = [100, 2_000]; // ms between two attempts, doubling, with jitter
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;
const IDS_REMEMBERED = 100_000; // slots that an id is remembered behind its own

/**
 * What became of a proposal. Under `request_id`, asking again is safe.
 * - `committed`: it stands in `slot`, for ever
 * - `duplicate`: an earlier request under the same id took effect, in `slot`
 * - `rejected`: it surely takes no effect
 * - `unknown`: not decided in time; it may still commit
 * - `pending`: taken, and not waited for
 * @typedef {{ request_id: string } & (
 *   | { outcome: "committed", slot: number, hash?: string, votes?: { counted: number, members: number },
 *       round?: number, proposer?: string, took_ms?: number }
 *   | { outcome: "duplicate", slot: number }
 *   | { outcome: "rejected", why: string }
 *   | { outcome: "unknown" }
 *   | { outcome: "pending" })} Outcome
 *
 * @typedef {{ slot: number, hash: string }} Position
 * @typedef {{ epoch: number, mode: "crash", members: string[], learners?: string[] }} Config
 * @typedef {{ slot: number, hash: string, epoch: number, kind: "value" | "config" | "noop",
 *   request_id?: string, value?: string, until?: number, config?: Config }} Entry
 * @typedef {{ name: string, data: any, id?: number }} Event only commits have an `id`: their slot
 */

/**
 * What went wrong: a stable word, what it is, the next step.
 *
 * Codes of the nodes stand in `docs/openapi.yaml`, and `status` is then that of the answer. Of this
 * client: `unreachable` (no connection, nothing was asked), `lost` (asked, and no answer came), `strange`
 * (no node of this version answers there), `broken_chain` (entries do not follow each other).
 */
export class QuorateError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {string} hint
   * @param {{ status?: number, cause?: unknown }} [more]
   */
  constructor(code, message, hint, { status = 0, cause } = {}) {
    super(`${message} (${code}); ${hint}`, { cause });
    this.name = "QuorateError";
    Object.assign(this, { code, hint, status });
  }

  /** Whether another node, or the same one later, may well answer. */
  get isTemporary() {
    return this.code === "unreachable" || this.code === "lost" || this.status === 503;
  }
}

/** The position before the first entry. */
export const GENESIS = Object.freeze({ slot: 0, hash: "0".repeat(64) });

/** A whole number as eight bytes, big-endian. */
export function u64(number) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(number));
  return bytes;
}

/** The sixteen bytes of a UUID. */
export function uuidBytes(id) {
  return Buffer.from(id.replaceAll("-", ""), "hex");
}

/**
 * The hash of an entry if that of the entry before is `parent`, whatever `entry.hash` says.
 * @param {Entry} entry
 * @param {string} parent
 */
export function hashAfter(entry, parent) {
  const parts = [Buffer.from("quorate entry 1\0"), Buffer.from(parent, "hex"), u64(entry.epoch), u64(entry.slot)];
  if (entry.kind === "value") {
    const text = Buffer.from(entry.value);
    const bound = entry.until === undefined ? 0n : BigInt(entry.until) + 1n;
    parts.push(Buffer.of(1), uuidBytes(entry.request_id), u64(bound), u64(text.length), text);
  } else if (entry.kind === "config" && entry.config.mode === "crash") {
    parts.push(Buffer.of(2), u64(entry.config.epoch), Buffer.of(0));
    for (const nodes of [entry.config.members, entry.config.learners ?? []]) {
      parts.push(u64(nodes.length), ...nodes.map(uuidBytes));
    }
  } else if (entry.kind === "noop") {
    parts.push(Buffer.of(3));
  } else {
    throw new QuorateError("broken_chain", `slot ${entry.slot} is a ${entry.kind}`, "use a newer client");
  }
  return createHash("sha256").update(Buffer.concat(parts)).digest("hex");
}

/**
 * The entries that contents, as frames carry them, make behind a position.
 * @param {Position} after
 * @param {Iterable<{ epoch: number, kind: any }>} contents
 * @returns {Entry[]}
 */
export function chain(after, contents) {
  const entries = [];
  for (const { epoch, kind } of contents) {
    const entry = { slot: after.slot + 1, hash: "", epoch, kind: "noop" };
    if (kind.value) {
      const { id, value, until } = kind.value;
      Object.assign(entry, { kind: "value", request_id: id, value }, until === undefined ? {} : { until });
    } else if (kind.config) {
      Object.assign(entry, { kind: "config", config: kind.config });
    }
    entry.hash = hashAfter(entry, after.hash);
    entries.push(entry);
    after = entry;
  }
  return entries;
}

/**
 * The same entries, each once its hash was computed here from the one before. Throws `broken_chain` at
 * the first that does not follow.
 * @param {Iterable<Entry> | AsyncIterable<Entry>} entries
 * @param {Position} [after]
 * @returns {AsyncGenerator<Entry, void>}
 */
export async function* verified(entries, after = GENESIS) {
  for await (const entry of entries) {
    if (entry.slot !== after.slot + 1 || entry.hash !== hashAfter(entry, after.hash)) {
      const message = `slot ${entry.slot} does not follow slot ${after.slot} ${after.hash}`;
      throw new QuorateError("broken_chain", message, "compare the nodes with `node log --verify`");
    }
    after = entry;
    yield entry;
  }
}

/**
 * The values among the entries that take effect: no void ones, none a second time. To be exact for the
 * entries of slot N, begin 100,000 slots before it, or at 1.
 * @param {Iterable<Entry> | AsyncIterable<Entry>} entries
 * @returns {AsyncGenerator<Entry, void>}
 */
export async function* effective(entries) {
  const ids = new Map(); // id → slot, in the order of the slots
  for await (const entry of entries) {
    if (entry.kind !== "value" || entry.until < entry.slot) continue;
    for (const [id, slot] of ids) {
      if (slot + IDS_REMEMBERED >= entry.slot) break;
      ids.delete(id);
    }
    if (ids.has(entry.request_id)) continue;
    ids.set(entry.request_id, entry.slot);
    yield entry;
  }
}

/**
 * The events that lines of a stream of server-sent events spell. Null: a new stream begins.
 * @param {Iterable<string | null> | AsyncIterable<string | null>} lines
 * @returns {AsyncGenerator<Event, void>}
 */
export async function* sse(lines) {
  let fields = {};
  for await (const line of lines) {
    if (line === null) {
      fields = {};
    } else if (line !== "") {
      const [, name, value] = /^([^:]*)(?:: ?(.*))?$/s.exec(line);
      fields[name] = name === "data" && "data" in fields ? `${fields.data}\n${value ?? ""}` : (value ?? "");
    } else {
      const { event, data, id } = fields;
      fields = {};
      if (event === undefined || data === undefined) continue;
      yield { name: event, data: JSON.parse(data), ...(id === undefined ? {} : { id: Number(id) }) };
    }
  }
}

/** The lines of a body that are whole, without their ends. */
async function* linesOf(body) {
  let rest = "";
  for await (const text of body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop();
    if (rest.length > ANSWER_BYTES_MAX) throw new Error("a line without end");
    for (const line of lines) yield line.endsWith("\r") ? line.slice(0, -1) : line;
  }
}

/** Waits for a random part of `pause` ms. */
async function rest(pause, signal) {
  await sleep(Math.random() * pause, undefined, { signal });
}

/**
 * A client of one cluster: of the nodes given, the first one that answers is used, until it does not.
 *
 * Reads that are not linearizable may step back when another node takes over. Every method rejects with
 * QuorateError.
 */
export class Client {
  #nodes;
  #headers;
  #at = 0;

  /**
   * @param {string | string[]} nodes `host:port` or URLs
   * @param {{ token?: string }} [options]
   */
  constructor(nodes, { token } = {}) {
    this.#nodes = [nodes].flat().map((node) => new URL(node.includes("//") ? node : `http://${node}`));
    if (this.#nodes.length === 0) throw new TypeError("at least one node is needed");
    // A connection of its own for each request: none is found dead when it is used again.
    this.#headers = { connection: "close", ...(token ? { authorization: `Bearer ${token}` } : {}) };
  }

  /**
   * Proposes a value, and asks again under one id until it is decided or `timeout` ms passed. Without
   * `wait` it is enough that a node took it. A rejection counts only if no earlier attempt may have taken
   * effect; otherwise the outcome stays unknown.
   * @param {string} value
   * @param {{ requestId?: string, until?: number, timeout?: number, wait?: boolean }} [options]
   * @returns {Promise<Outcome>}
   */
  async propose(value, { requestId = randomUUID(), until, timeout = 30_000, wait = true } = {}) {
    const deadline = performance.now() + timeout;
    let isOpen = false; // whether some attempt may still take effect
    let refusals = 0; // without an error between them
    for (let pause = PAUSE_MIN; ; pause = Math.min(2 * pause, PAUSE_MAX)) {
      const patience = Math.ceil(Math.max(50, Math.min(ATTEMPT_TIMEOUT, deadline - performance.now())));
      const body = { value, request_id: requestId, until, wait, timeout: `${patience}ms` };
      let outcome, failure;
      try {
        const [status, answer] = await this.#ask("POST", "/v1/proposals", { body, timeout: patience + 2_000 });
        outcome = outcomeOf(answer);
        const isFinal = status === 409 || !["rejected", "unknown"].includes(outcome.outcome);
        if (isFinal) return outcome;
        isOpen ||= outcome.outcome === "unknown";
        refusals += 1;
        if (refusals === this.#nodes.length && !isOpen) return outcome;
      } catch (error) {
        if (!error.isTemporary && !isOpen) throw error;
        [failure, refusals] = [error, 0];
        isOpen ||= error.code !== "unreachable";
      }
      const left = deadline - performance.now();
      if (left <= 0) {
        if (isOpen) return { request_id: requestId, outcome: "unknown" };
        if (failure) throw failure;
        return outcome;
      }
      this.#turn();
      await rest(Math.min(left, pause));
    }
  }

  /**
   * A page of committed entries; linearizable, at least all that was acknowledged before. `committed` is
   * what the node knows, `next` the start of the next page.
   * @param {number} [from]
   * @param {{ limit?: number, linearizable?: boolean }} [options]
   * @returns {Promise<{ committed: Position, entries: Entry[], next: number }>}
   */
  async log(from = 1, { limit, linearizable = false } = {}) {
    const query = new URLSearchParams({ from: String(from) });
    if (limit !== undefined) query.set("limit", String(limit));
    if (linearizable) query.set("read", "linearizable");
    const { committed, entries, next } = await this.#get(`/v1/log?${query}`);
    return { committed, entries, next };
  }

  /**
   * All entries from a slot on that are committed now, page by page.
   * @param {number} [from]
   * @param {{ linearizable?: boolean }} [options]
   * @returns {AsyncGenerator<Entry, void>}
   */
  async *entries(from = 1, options = {}) {
    let page = await this.log(from, options);
    const last = page.committed.slot;
    while (page.entries.length > 0) {
      yield* page.entries.filter((entry) => entry.slot <= last);
      if (page.next > last) return;
      page = await this.log(page.next, options);
    }
  }

  /**
   * One entry; rejects with `no_such_slot` if nothing is committed there.
   * @param {number} slot
   * @param {{ linearizable?: boolean }} [options]
   * @returns {Promise<Entry>}
   */
  entry(slot, { linearizable = false } = {}) {
    return this.#get(`/v1/log/${slot}${linearizable ? "?read=linearizable" : ""}`);
  }

  /**
   * Every entry from a slot on, in order, each once, for ever: goes on at another node where one fails.
   * Throws when no node could be reached for `patience` ms.
   * @param {number} [from]
   * @param {{ patience?: number, signal?: AbortSignal }} [options]
   * @returns {AsyncGenerator<Entry, void>}
   */
  async *follow(from = 1, options = {}) {
    let next = Math.max(from, 1);
    const request = () => [`/v1/log?follow=true&from=${next}`, {}];
    for await (const line of this.#lines(request, options)) {
      if (line === null) continue;
      const entry = JSON.parse(line);
      next = entry.slot + 1;
      yield entry;
    }
  }

  /**
   * What happens, for ever: commits from slot `from`, or behind slot `after`, or from now on.
   *
   * Commits come in order without a hole, also over a change of the node. Other events are lost while no
   * node is connected; `missed` says how many a node dropped because they were read too slowly.
   * @param {{ from?: number, after?: number, patience?: number, signal?: AbortSignal }} [options]
   * @returns {AsyncGenerator<Event, void>}
   */
  async *events({ from, after, ...options } = {}) {
    const request = () => {
      if (after !== undefined) return ["/v1/events", { "last-event-id": String(after) }];
      return [`/v1/events${from === undefined ? "" : `?from=${from}`}`, {}];
    };
    for await (const event of sse(this.#lines(request, options))) {
      if (event.name === "start" && after === undefined) from = event.data.from;
      if (event.name === "commit") after = event.id;
      yield event;
    }
  }

  /** Where the node stands, and in `verdict` why nothing commits. */
  status() {
    return this.#get("/v1/status");
  }

  /** The peers that the node knows. */
  async peers() {
    return (await this.#get("/v1/peers")).peers;
  }

  /**
   * Sends a text to one peer, or to all that are online: `by` has it, `missing` did not say so. Another
   * node is asked only if this one could not be: two nodes would send it twice.
   * @param {string} text
   * @param {{ to?: string }} [options]
   * @returns {Promise<{ by: string[], missing: string[] }>}
   */
  async send(text, { to } = {}) {
    const options = { body: { text, to }, timeout: DELIVERY_TIMEOUT };
    const ask = () => this.#ask("POST", "/v1/messages", options);
    const [, { by, missing }] = await this.#each(ask, (error) => error.code === "unreachable");
    return { by, missing };
  }

  async #get(path) {
    const [, answer] = await this.#each(() => this.#ask("GET", path), (error) => error.isTemporary);
    return answer;
  }

  /** The first answer of the nodes; after a failure that may be passed over, the next one is asked. */
  async #each(ask, mayPass) {
    for (let left = this.#nodes.length - 1; ; left -= 1) {
      try {
        return await ask();
      } catch (error) {
        if (left === 0 || !mayPass(error)) throw error;
        this.#turn();
      }
    }
  }

  #turn() {
    this.#at = (this.#at + 1) % this.#nodes.length;
  }

  /** The status and the JSON of an answer. A proposal that is rejected is an answer, too. */
  async #ask(method, path, { body, timeout = ANSWER_TIMEOUT } = {}) {
    const signal = AbortSignal.timeout(timeout);
    const response = await this.#fetch(method, path, { body, signal });
    const answer = await this.#json(response);
    if ("error" in answer) throw refusal(response.status, answer);
    return [response.status, answer];
  }

  /** The lines of a stream that is requested anew, of the next node, whenever it ends; null before each. */
  async *#lines(request, { patience = 60_000, signal = new AbortController().signal }) {
    let [pause, connected] = [PAUSE_MIN, performance.now()];
    for (;;) {
      const end = new AbortController();
      const timer = setTimeout(() => end.abort(new Error("silence")), SILENCE_MAX);
      try {
        const [path, headers] = request();
        const response = await this.#fetch("GET", path, { headers, signal: AbortSignal.any([end.signal, signal]) });
        if (response.status !== 200) throw refusal(response.status, await this.#json(response));
        yield null;
        connected = performance.now();
        for await (const line of this.#told(linesOf(response.body))) {
          [pause, connected] = [PAUSE_MIN, performance.now()];
          yield line;
          timer.refresh();
        }
      } catch (error) {
        signal.throwIfAborted();
        if (!error.isTemporary || performance.now() - connected > patience) throw error;
      } finally {
        clearTimeout(timer);
        end.abort();
      }
      this.#turn();
      await rest(pause, signal);
      pause = Math.min(2 * pause, PAUSE_MAX);
    }
  }

  /** The same, with its failures told as `lost`. */
  async *#told(parts) {
    try {
      yield* parts;
    } catch (cause) {
      throw this.#lost(cause);
    }
  }

  async #fetch(method, path, { body, headers = {}, signal }) {
    const node = this.#nodes[this.#at];
    const json = body === undefined ? {} : { "content-type": "application/json" };
    try {
      return await fetch(node.origin + node.pathname.replace(/\/$/, "") + path, {
        method,
        headers: { ...this.#headers, ...json, ...headers },
        body: body === undefined ? undefined : JSON.stringify(body),
        redirect: "error",
        signal,
      });
    } catch (cause) {
      if (!wasUnsent(cause.cause)) throw this.#lost(cause);
      const message = `no node answers at ${node.origin}: ${cause.cause.code}`;
      throw new QuorateError("unreachable", message, "is it running, and is this its admin address?", { cause });
    }
  }

  #lost(cause) {
    const message = `${this.#nodes[this.#at].origin} did not answer to the end: ${cause.cause?.message ?? cause.message}`;
    return new QuorateError("lost", message, "ask again, or ask another node", { cause });
  }

  async #json(response) {
    let text = "";
    for await (const part of this.#told(response.body?.pipeThrough(new TextDecoderStream()) ?? [])) {
      text += part;
      if (text.length > ANSWER_BYTES_MAX) break;
    }
    try {
      const answer = JSON.parse(text);
      if (typeof answer === "object" && answer !== null) return answer;
    } catch {
      // Told below.
    }
    const { status } = response;
    const message = `${this.#nodes[this.#at].origin} answered ${status} ${JSON.stringify(text.slice(0, 80))}`;
    throw new QuorateError("strange", message, "is it a node of this version?", { status });
  }
}

/** Whether a request failed before there was a connection. */
function wasUnsent(cause) {
  if (cause?.code === "UND_ERR_CONNECT_TIMEOUT") return true;
  const attempts = cause?.errors ?? [cause];
  return attempts.every((attempt) => ["connect", "getaddrinfo"].includes(attempt?.syscall));
}

function refusal(status, { error = {} }) {
  const { code = "strange", message = "no message", hint = "is it a node of this version?" } = error;
  return new QuorateError(code, message, hint, { status });
}

function outcomeOf({ schema, ...answer }) {
  if (["committed", "duplicate", "rejected", "unknown", "pending"].includes(answer.outcome)) return answer;
  const message = `an outcome is not ${JSON.stringify({ schema, ...answer })}`;
  throw new QuorateError("strange", message, "is it a node of this version?");
}

if (process.argv[1] && import.meta.url === pathToFileURL(realpathSync(process.argv[1])).href) {
  import("./cli.mjs").then(({ main }) => main());
}
