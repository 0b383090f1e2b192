/**
 * What messages are made of. A shape takes a value and answers what is known of it, or throws what its second
 * argument makes of a sentence.
 */

const VALUE_BYTES_MAX = 1024 * 1024;
const TEXT_BYTES_MAX = 256 * 1024;

const when = (holds, what) => (value, fail) => {
  if (!holds(value)) throw fail(`${(JSON.stringify(value) ?? "nothing").slice(0, 80)} is not ${what}`);
  return value;
};
const uint = (largest = Number.MAX_SAFE_INTEGER) =>
  when((value) => Number.isSafeInteger(value) && value >= 0 && value <= largest, `a whole number up to ${largest}`);
const bool = when((value) => typeof value === "boolean", "true or false");
const text = (least = 0, most = Infinity) =>
  when((value) => {
    if (typeof value !== "string") return false;
    const bytes = Buffer.byteLength(value);
    return bytes >= least && bytes <= most;
  }, "a text within its limits");
const pattern = (regex, what) => when((value) => typeof value === "string" && regex.test(value), what);
const hex = (count) => pattern(new RegExp(`^[0-9a-f]{${2 * count}}$`), `${2 * count} lower-case hex digits`);
const uuid = pattern(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, "a UUID in lower case with hyphens");
const isList = when(Array.isArray, "a list");
const list = (item) => (value, fail) => isList(value, fail).map((each) => item(each, fail));
const isObject = when((value) => typeof value === "object" && value !== null && !Array.isArray(value), "an object");

/** An object with these fields; those whose names end in `?` may be absent. */
const record = (fields) => (value, fail) => {
  const found = {};
  isObject(value, fail);
  for (const [field, shape] of Object.entries(fields)) {
    const key = field.replace("?", "");
    const given = value[key] ?? undefined;
    if (given !== undefined) found[key] = shape(given, fail);
    else if (key === field) throw fail(`${key} is missing`);
  }
  return found;
};

const position = record({ slot: uint(), hash: hex(32) });
const proposal = record({ id: uuid, value: text(1, VALUE_BYTES_MAX), "until?": uint() });
const config = record({
  epoch: uint(),
  mode: pattern(/^crash$/, "crash"),
  members: list(uuid),
  "learners?": list(uuid),
});
const oneKind = record({ "value?": proposal, "config?": config });
const kind = (value, fail) => {
  if (value === "noop") return value;
  const found = oneKind(value, fail);
  if (Object.keys(found).length === 1 && Object.keys(value).length === 1) return found;
  throw fail("an entry is a value, a config or a noop");
};
const entries = list(record({ epoch: uint(), kind }));
const hello = record({
  protocol: record({ min: uint(2 ** 32 - 1), max: uint(2 ** 32 - 1) }),
  cluster: text(),
  node: uuid,
  key: hex(32),
  nonce: hex(32),
  boot: uint(),
  instance: hex(16),
  "dial?": uint(),
  name: text(),
  "host?": text(),
  port: uint(65_535),
  "capabilities?": list(text()),
});
const peers = record({
  "hears?": list(uuid), "forming?": bool, "founders?": list(uuid), "founded?": list(uuid), "leaving?": bool,
});
const log = record({
  epoch: uint(),
  "promised?": uint(),
  "accepted?": uint(),
  voted: position,
  last: position,
  committed: position,
  first_slot: uint(),
  "suspects?": uint(),
  "candidate?": uint(),
  "leads?": uint(),
  healthy: bool,
  life: uint(),
});

const payloads = new Map([
  ["Ping", record({ "hello?": hello })],
  [
    "Pong",
    record({ "re?": uuid, "hello?": hello, "proof?": hex(64), "refused?": record({ code: text(), reason: text() }) }),
  ],
  ["Data", text(0, TEXT_BYTES_MAX)],
  ["HeartBeat", record({ peers, "log?": log })],
  [
    "Consensus",
    record({
      epoch: uint(),
      "vote?": record({ round: uint(), voted: position, committed: position, "counted?": uint() }),
      "prepare?": record({ round: uint() }),
      "promise?": record({ round: uint(), "accepted?": uint(), last: position, committed: position }),
      "propose?": record({ round: uint(), after: position, entries, committed: position, "adopt?": bool }),
      "refuse?": record({ "promised?": uint(), committed: position }),
      "fetch?": record({ from: uint(), to: uint() }),
      "entries?": record({ after: position, entries, committed: position, "more?": bool }),
      "submit?": record({ proposals: list(proposal) }),
      "read?": record({ nonce: uint() }),
      "read_reply?": record({ nonce: uint(), last: position }),
      "remember?": record({ "promised?": uint(), "accepted?": uint(), voted: position }),
    }),
  ],
]);

/** The fields around a payload. */
export const readEnvelope = record({ id: uuid, from: uuid, "to?": uuid, message_type: text(), timestamp: uint() });

/** The payload of a message of this type; undefined if the type is not known. */
export function decodePayload(type, payload, fail) {
  const found = payloads.get(type)?.(payload, fail);
  if (type === "Consensus" && Object.keys(found).length > 2) throw fail("more than one statement");
  return found;
}

/** Whether a `Consensus` payload holds a statement that is known. */
export function isStatement(payload) {
  return Object.keys(payload).length === 2;
}
