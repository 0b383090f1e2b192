/**
 * The peers' side of quorate: frames, messages, the handshake, and a link to a node.
 *
 * `docs/PROTOCOL.md` is what this follows. A link here listens: it answers pings, acknowledges texts,
 * lives, and says nothing about the log.
 */

import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  randomUUID,
  sign,
  verify,
} from "node:crypto";
import { connect } from "node:net";

import { QuorateError, u64, uuidBytes } from "./quorate.mjs";
import { decodePayload, readEnvelope, isStatement } from "./shapes.mjs";
import { parse } from "./strict.mjs";

export const FRAME_BYTES_MAX = 8 * 1024 * 1024;
const HELLO_FRAME_BYTES_MAX = 8 * 1024;
const HANDSHAKE_TIMEOUT = 5_000; // ms
const HEARTBEAT_INTERVAL = 1_000; // ms; after 5 silent seconds a node closes the link
const SILENCE_MAX = 5_000; // ms
const SEEN_AGE = 120_000; // ms that the id of a text is remembered

/** @param {string} name @param {string} message */
export function fault(name, message) {
  return new QuorateError(name, message, "close the link: no honest peer sends this");
}

/** Cuts a stream of bytes into frames. */
export class Frames {
  #parts = [];
  #length = 0;

  /** @param {number} [bytesMax] */
  constructor(bytesMax = FRAME_BYTES_MAX) {
    this.bytesMax = bytesMax;
  }

  /**
   * The frames that are whole by now. Throws `zero_length` or `oversized`.
   * @param {Buffer} chunk
   * @returns {Generator<Buffer, void>}
   */
  *feed(chunk) {
    this.#parts.push(chunk);
    this.#length += chunk.length;
    for (;;) {
      if (this.#length < 4) return;
      if (this.#parts[0].length < 4) this.#join();
      const length = this.#parts[0].readUInt32BE();
      if (length === 0) throw fault("zero_length", "a frame of no bytes");
      if (length > this.bytesMax) {
        throw fault("oversized", `a frame of ${length} bytes, at most ${this.bytesMax} are allowed`);
      }
      if (this.#length < 4 + length) return;
      this.#join();
      const frame = this.#parts[0].subarray(4, 4 + length);
      this.#parts = [this.#parts[0].subarray(4 + length)];
      this.#length -= 4 + length;
      yield frame;
    }
  }

  /** How many bytes are left of a frame that is not whole. */
  get rest() {
    return this.#length;
  }

  #join() {
    if (this.#parts.length > 1) this.#parts = [Buffer.concat(this.#parts)];
  }
}

/** The frame that carries a message. */
export function encode(message) {
  return framed(Buffer.from(JSON.stringify(message)));
}

/** A frame around bytes. */
function framed(text) {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(text.length);
  return Buffer.concat([head, text]);
}

/**
 * The message in a frame, without the fields that are not known here. `is_known` is false in it where type
 * or statement is of a later version: such a message is passed over. Throws QuorateError under the names of
 * `docs/PROTOCOL.md`: then the link is closed.
 * @param {Uint8Array} frame
 */
export function decode(frame) {
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(frame);
  } catch {
    throw fault("bad_utf8", "bytes that are not UTF-8");
  }
  const found = parse(text, fault);
  const { id, from, to = null, message_type, timestamp } = readEnvelope(found, (what) => fault("bad_envelope", what));
  if (!("payload" in found)) throw fault("bad_envelope", "payload is missing");
  const payload = decodePayload(message_type, found.payload, (what) => fault("bad_payload", what));
  const isKnown = payload !== undefined && (message_type !== "Consensus" || isStatement(payload));
  const message = { id, from, to, message_type, payload: isKnown ? payload : found.payload, timestamp };
  return isKnown ? message : { ...message, is_known: false };
}

/** The id that belongs to a public key of 32 bytes. */
export function nodeId(key) {
  const bytes = createHash("sha256").update(key).digest();
  bytes[6] = (bytes[6] & 0x0f) | 0x80;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString("hex", 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** What the dialer, or else the listener, signs: both hellos belong to it. */
export function proofBytes(isDialer, dialer, listener) {
  const cluster = Buffer.from(dialer.cluster);
  const parts = [Buffer.from("quorate hello 1\0"), Buffer.of(isDialer ? 1 : 2), u64(cluster.length), cluster];
  for (const { node, nonce, boot, instance } of [dialer, listener]) {
    parts.push(uuidBytes(node), Buffer.from(nonce, "hex"), u64(boot), Buffer.from(instance, "hex"));
  }
  return Buffer.concat(parts);
}

/** The 32 bytes of an ed25519 public key. */
export function rawKey(publicKey) {
  return Buffer.from(publicKey.export({ format: "jwk" }).x, "base64url");
}

/** The key pair that a secret of 32 bytes makes. */
export function keyPair(secret) {
  const head = Buffer.from("302e020100300506032b657004220420", "hex"); // PKCS #8 around the secret
  const privateKey = createPrivateKey({ key: Buffer.concat([head, secret]), format: "der", type: "pkcs8" });
  return { privateKey, publicKey: createPublicKey(privateKey) };
}

/** The points of small order, as they are written without the sign of x. */
const SMALL_ORDER = new Set([
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
]);

/** Whether 32 bytes spell a point in its only form, and none of small order. */
function isStrict(point) {
  const y = Buffer.from(point);
  y[31] &= 0x7f;
  const isBelowField = y[0] < 0xed || y[31] < 0x7f || y.subarray(1, 31).some((byte) => byte < 0xff);
  return isBelowField && !SMALL_ORDER.has(y.toString("hex"));
}

/**
 * Whether an ed25519 signature holds. Strict, beyond what node:crypto checks: points of small order and
 * second spellings are refused.
 */
export function verifyProof(key, bytes, proof) {
  if (key.length !== 32 || proof.length !== 64 || ![key, proof.subarray(0, 32)].every(isStrict)) return false;
  try {
    const publicKey = createPublicKey({
      key: { kty: "OKP", crv: "Ed25519", x: key.toString("base64url") },
      format: "jwk",
    });
    return verify(null, bytes, publicKey, proof);
  } catch {
    return false; // no point of the curve
  }
}

/** A link to a node, under an identity of its own that lives as long as the link. */
export class Link {
  #socket;
  #chunks;
  #record;
  #frames = new Frames(HELLO_FRAME_BYTES_MAX);
  #keys = generateKeyPairSync("ed25519");
  #hello;
  #heard = performance.now();
  #beats;

  /** The hello of the node. */
  peer = {};

  /** Use {@link Link.dial}. */
  constructor(socket, cluster, name, record) {
    this.#socket = socket;
    this.#chunks = this.#read();
    this.#record = record;
    const key = rawKey(this.#keys.publicKey);
    this.node = nodeId(key);
    this.#hello = {
      protocol: { min: 1, max: 1 },
      cluster,
      node: this.node,
      key: key.toString("hex"),
      nonce: randomBytes(32).toString("hex"),
      boot: 1,
      instance: randomBytes(16).toString("hex"),
      dial: 1,
      name,
      port: 0,
    };
  }

  /**
   * Connects to where a node listens for peers, and proves who is who within five seconds. All frames that
   * come are given to `record`.
   * @param {string} address `host:port`
   * @param {{ cluster?: string, name?: string, record?: (frame: Buffer) => void }} [options]
   */
  static async dial(address, { cluster = "quorate", name = "listener", record = () => {} } = {}) {
    const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(address) ?? [];
    if (!port) throw new QuorateError("unreachable", `${address} is no address`, "write HOST:PORT");
    const socket = connect({ host, port: Number(port), noDelay: true });
    const link = new Link(socket, cluster, name, record);
    const late = setTimeout(() => socket.destroy(new Error("the handshake was not done in time")), HANDSHAKE_TIMEOUT);
    try {
      await link.#shakeHands();
    } catch (error) {
      link.close();
      throw error;
    } finally {
      clearTimeout(late);
    }
    return link;
  }

  /** Ends the link. */
  close() {
    clearInterval(this.#beats);
    this.#socket.destroy();
  }

  /**
   * Sends a message.
   * @param {string} type
   * @param {unknown} payload
   * @param {string | null} [to]
   */
  send(type, payload, to = null) {
    const timestamp = Math.floor(Date.now() / 1_000);
    const message = { id: randomUUID(), from: this.node, to, message_type: type, payload, timestamp };
    this.#socket.write(encode(message));
  }

  /**
   * What the node says, each text once, for so many milliseconds. Whoever stops reading closes the link.
   * @param {{ milliseconds?: number }} [options]
   */
  async *messages({ milliseconds } = {}) {
    const seen = new Map();
    let isOver = false;
    const end = () => {
      isOver = true;
      this.close();
    };
    const timer = milliseconds === undefined ? undefined : setTimeout(end, milliseconds);
    try {
      for await (const message of this.#messages()) {
        if (this.#answered(message, seen)) yield message;
      }
    } catch (error) {
      if (!isOver) throw error;
    } finally {
      clearTimeout(timer);
      this.close();
    }
  }

  /** The bytes that come. */
  async *#read() {
    try {
      for await (const chunk of this.#socket) {
        this.#heard = performance.now();
        yield chunk;
      }
    } catch (error) {
      throw this.#lost(error.message, error);
    }
    throw this.#lost("it closed the link");
  }

  /** The messages that come. Taken by `next()` alone, this can be gone on with later. */
  async *#messages() {
    yield* this.#decoded(Buffer.alloc(0));
    while (true) {
      const { value: chunk } = await this.#chunks.next();
      yield* this.#decoded(chunk);
    }
  }

  *#decoded(chunk) {
    for (const frame of this.#frames.feed(chunk)) {
      this.#record(framed(frame));
      yield decode(frame);
    }
  }

  /** Answers a message if it wants an answer; tells whether it is new. */
  #answered({ id, from, message_type: type }, seen) {
    if (from !== this.peer.node) throw fault("bad_envelope", `${from} speaks on the link of ${this.peer.node}`);
    if (type === "Ping" || type === "Data") this.send("Pong", { re: id }, from);
    if (type !== "Data") return true;
    const now = performance.now();
    for (const [old, since] of seen) {
      if (now - since <= SEEN_AGE) break;
      seen.delete(old);
    }
    const isNew = !seen.has(id);
    if (isNew) seen.set(id, now);
    return isNew;
  }

  async #shakeHands() {
    this.send("Ping", { hello: this.#hello });
    const { value: answer } = await this.#messages().next();
    const { hello, proof, refused } = answer.message_type === "Pong" ? answer.payload : {};
    if (refused) {
      throw new QuorateError(refused.code, `refused: ${refused.reason}`, "see Refusals in docs/PROTOCOL.md");
    }
    if (!hello || !proof) throw fault("bad_hello", "something else came where a hello and its proof are due");
    const { cluster, protocol, node } = hello;
    if (cluster !== this.#hello.cluster) {
      throw new QuorateError("wrong_cluster", `the node belongs to ${JSON.stringify(cluster)}`, "name that cluster");
    }
    if (protocol.min > 1 || protocol.max < 1) {
      const message = `the node speaks ${protocol.min} to ${protocol.max}`;
      throw new QuorateError("wrong_protocol", message, "use another client");
    }
    const key = Buffer.from(hello.key, "hex");
    if (node !== nodeId(key) || node !== answer.from) throw fault("bad_id", `${node} does not belong to the key`);
    if (!verifyProof(key, proofBytes(false, this.#hello, hello), Buffer.from(proof, "hex"))) {
      throw fault("bad_proof", "the signature does not fit key and connection");
    }
    this.send("Pong", { proof: sign(null, proofBytes(true, this.#hello, hello), this.#keys.privateKey).toString("hex") });
    this.peer = hello;
    this.#frames.bytesMax = FRAME_BYTES_MAX;
    this.#beat();
    this.#beats = setInterval(() => this.#beat(), HEARTBEAT_INTERVAL);
  }

  #beat() {
    if (performance.now() - this.#heard > SILENCE_MAX) {
      this.#socket.destroy(new Error(`nothing was heard for ${SILENCE_MAX} ms`));
    } else {
      this.send("HeartBeat", { peers: { hears: [this.peer.node] } });
    }
  }

  #lost(why, cause) {
    const unmet = this.peer.node === undefined && cause?.syscall !== undefined && cause.syscall !== "read";
    const [code, hint] = unmet
      ? ["unreachable", "is the node running, and is this its port for peers?"]
      : ["lost", "dial again"];
    return new QuorateError(code, `no link to the node: ${why}`, hint, { cause });
  }
}
