/**
 * JSON held to the rules of the wire, for all fields, also of those that are ignored: `JSON.parse` lets pass
 * what no honest peer writes.
 */

const DEPTH_MAX = 32;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const WORDS = new Map([
  ["true", true],
  ["false", false],
  ["null", null],
]);

/**
 * The value that a text spells. Throws what `fault(name, message)` makes, under the names of
 * `docs/PROTOCOL.md`.
 * @param {string} text
 * @param {(name: string, message: string) => Error} fault
 */
export function parse(text, fault) {
  const reader = new Reader(text, fault);
  const value = reader.value(0);
  reader.end();
  return value;
}

class Reader {
  #text;
  #fault;
  #at = 0;

  constructor(text, fault) {
    this.#text = text;
    this.#fault = fault;
  }

  value(depth) {
    const sign = this.#peek();
    if (sign === "{" || sign === "[") {
      if (depth === DEPTH_MAX) {
        throw this.#fault("too_deep", `more than ${DEPTH_MAX} arrays and objects around each other`);
      }
      return sign === "{" ? this.#object(depth + 1) : this.#array(depth + 1);
    }
    if (sign === '"') return this.#string();
    for (const [word, value] of WORDS) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    }
    return this.#number();
  }

  end() {
    if (this.#peek() !== undefined) throw this.#bad("something follows the value");
  }

  #object(depth) {
    const found = Object.create(null);
    this.#items("}", () => {
      if (this.#peek() !== '"') throw this.#bad("a key is due");
      const key = this.#string();
      if (key in found) throw this.#fault("duplicate_key", `${key.slice(0, 64)} stands twice in one object`);
      this.#take(":");
      found[key] = this.value(depth);
    });
    return found;
  }

  #array(depth) {
    const found = [];
    this.#items("]", () => found.push(this.value(depth)));
    return found;
  }

  #items(close, item) {
    this.#at += 1;
    if (this.#peek() === close) {
      this.#at += 1;
      return;
    }
    for (;;) {
      item();
      if (this.#peek() === close) break;
      this.#take(",");
    }
    this.#at += 1;
  }

  #string() {
    let end = this.#at + 1;
    while (end < this.#text.length && this.#text[end] !== '"') end += this.#text[end] === "\\" ? 2 : 1;
    const source = this.#text.slice(this.#at, end + 1);
    this.#at = end + 1;
    let value;
    try {
      value = JSON.parse(source);
    } catch {
      throw this.#bad("a string is broken");
    }
    if (!value.isWellFormed()) throw this.#bad("an unpaired surrogate");
    return value;
  }

  #number() {
    NUMBER.lastIndex = this.#at;
    const [source] = NUMBER.exec(this.#text) ?? [];
    if (source === undefined) throw this.#bad("a value is due");
    this.#at += source.length;
    const value = Number(source);
    if (Math.abs(value) > Number.MAX_SAFE_INTEGER) {
      throw this.#fault("number_out_of_range", `the number ${source.slice(0, 40)}`);
    }
    return value;
  }

  #peek() {
    while (" \t\n\r".includes(this.#text[this.#at] ?? "end")) this.#at += 1;
    return this.#text[this.#at];
  }

  #take(sign) {
    if (this.#peek() !== sign) throw this.#bad(`${sign} is due`);
    this.#at += 1;
  }

  #bad(what) {
    return this.#fault("bad_json", `${what}, at ${this.#at}`);
  }
}
