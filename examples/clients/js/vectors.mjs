/** Holds this client against the vectors of the protocol, the files of `tests/vectors/`. */

import { sign } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";

import { QuorateError, chain, verified } from "./quorate.mjs";
import { Frames, decode, encode, keyPair, nodeId, proofBytes, rawKey, verifyProof } from "./wire.mjs";

const bytesOf = (hex) => Buffer.from(hex, "hex");
const decodeText = (value) => decode(Buffer.from(JSON.stringify(value)));

function same({ name }, found, wanted) {
  if (isDeepStrictEqual(found, wanted)) return;
  const message = `${name}: ${JSON.stringify(found)} is not ${JSON.stringify(wanted)}`;
  throw new QuorateError("broken_vector", message, "mend the client, or the vector");
}

/** The code of the error that `run` ends with, none if it ends well. */
async function errorOf(run) {
  try {
    await run();
  } catch (error) {
    if (error instanceof QuorateError) return error.code;
    throw error;
  }
}

async function frames(vector) {
  const stream = bytesOf(vector.hex);
  for (let cut = 0; cut <= stream.length; cut += 1) {
    const cutter = new Frames(vector.bytes_max);
    const found = [];
    const error = await errorOf(() => {
      for (const part of [stream.subarray(0, cut), stream.subarray(cut)]) {
        for (const frame of cutter.feed(part)) found.push(frame.toString());
      }
    });
    same(vector, error, vector.error);
    same(vector, found, vector.frames);
  }
}

function messages(vector) {
  const found = decodeText(vector.message);
  if (vector.unknown_kind) {
    same(vector, [found.message_type, found.is_known], [vector.unknown_kind, false]);
    return;
  }
  same(vector, found, vector.means ?? vector.message);
  same(vector, [...new Frames().feed(encode(found))].map(decode), [found]);
}

async function invalid(vector) {
  const frame = vector.hex === undefined ? Buffer.from(vector.text) : bytesOf(vector.hex);
  same(vector, await errorOf(() => decode(frame)), vector.error);
}

function handshake(vector, vectors) {
  const message = decodeText(vector.message);
  same(vector, message, vector.message);
  if (vector.signed === undefined) return;
  const [dialer, listener] = vectors.slice(0, 2).map((step) => step.message.payload.hello);
  const isDialer = message.payload.hello === undefined;
  const hello = isDialer ? dialer : listener;
  const { privateKey, publicKey } = keyPair(bytesOf(vector.secret_key));
  const [key, signed] = [rawKey(publicKey), proofBytes(isDialer, dialer, listener)];
  same(vector, [key.toString("hex"), nodeId(key)], [hello.key, hello.node]);
  const proof = sign(null, signed, privateKey);
  same(vector, [signed.toString("hex"), proof.toString("hex")], [vector.signed, message.payload.proof]);
}

function proofs(vector) {
  const [key, signed, proof] = [vector.key, vector.signed, vector.proof].map(bytesOf);
  same(vector, verifyProof(key, signed, proof), vector.holds);
}

async function entries(vector) {
  const { after, content, shown } = vector;
  const [entry] = chain(after, [content]);
  same(vector, entry, shown);
  same(vector, entry.hash, vector.hash);
  const { value } = await verified([shown], after).next();
  same(vector, value, entry);
  const forged = { ...shown, epoch: shown.epoch + 1 };
  same(vector, await errorOf(() => verified([forged], after).next()), "broken_chain");
}

const CHECKS = { frames, messages, invalid, handshake, proofs, entries };

/**
 * Every file with the number of its vectors that were held. Throws `broken_vector`.
 * @param {string} directory
 * @returns {AsyncGenerator<[string, number], void>}
 */
export async function* check(directory) {
  for (const [name, hold] of Object.entries(CHECKS)) {
    const file = `${name}.json`;
    const vectors = JSON.parse(await readFile(join(directory, file), "utf8"));
    if (vectors.length === 0) throw new QuorateError("broken_vector", `${file} is empty`, "give tests/vectors");
    for (const vector of vectors) await hold(vector, vectors);
    yield [file, vectors.length];
  }
}
