/**
 * A second verifier of evidence, written from docs/evidence.md, docs/formats.md and docs/keys.md alone.
 *
 *   node verify.mjs FILE --key VKEY [--key VKEY …] [--since NOTE_FILE …] [--json]
 *   node verify.mjs --many        lines of {"file": …, "keys": […], "since": [text of a note, …]} in, a report to a line out
 *
 * Exits with 0 VALID, 1 VALID_WITH_GAPS, 2 INVALID, 3 INCOMPLETE. Node.js 20.15 and its own modules, nothing else.
 */

import { createHash, createPublicKey, verify as verifySignature } from "node:crypto";
import { readFileSync, realpathSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { crc32, inflateRawSync } from "node:zlib";

const EVIDENCE = "auditkit-django/evidence/1";
const RANGE_PROOF = "auditkit-django/range-proof/1";
const EXIT_CODES = { VALID: 0, VALID_WITH_GAPS: 1, INVALID: 2, INCOMPLETE: 3 };
const MAX_LINE = 2 ** 20;
const MAX_ENTRY = 65_535;
const MAX_UNZIPPED = 2 ** 31;
const FIELDS = ["actor", "on_behalf_of", "targets", "changes", "metadata", "context"];
const ERASED = "audit.subject.erased";
const PURGED = "audit.events.purged";
const ROTATED = "audit.key.rotated";
// What the log says of itself goes with its entries only.
const OF_THE_LOG = new Set([
  "audit.checkpoint.sealed",
  "audit.event.quarantined",
  "audit.key.revoked",
  ROTATED,
  "audit.log.opened",
  ERASED,
  PURGED,
]);

/** Something is wrong: what (`code` of docs/evidence-findings.md) and at which place of the log, if at one. */
class Flaw extends Error {
  constructor(code, message, seq = null) {
    super(message);
    this.code = code;
    this.seq = seq;
  }
}

const cut = (message) => new Flaw("file.cut", message);
const malformed = (message) => new Flaw("file.malformed", message);

// ---------------------------------------------------------------- bytes and texts

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();
const sha256Hex = (data) => sha256(data).toString("hex");
const leafHash = (entry) => sha256(Buffer.of(0), entry);
const nodeHash = (left, right) => sha256(Buffer.of(1), left, right);

// A last character with left-over bits is another spelling of the same bytes.
const LAST = { base64: "[AEIMQUYcgkosw048]", salt: "[AQgw]" };
const HASH = new RegExp(`^[A-Za-z0-9+/]{42}${LAST.base64}=$`);

function utf8(bytes, what) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw malformed(`${what} is not UTF-8`);
  }
}

/** The bytes of `text`, or null where it is not the one canonical spelling of them. */
function decoded(text, encoding) {
  const bytes = Buffer.from(text, encoding);
  return bytes.toString(encoding) === text ? bytes : null;
}

const byCodePoint = (one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other));
const isAscending = (texts) => texts.every((text, index) => index === 0 || byCodePoint(texts[index - 1], text) < 0);

// ---------------------------------------------------------------- strict JSON

const STRING = /"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\u0000-\u001f]*)*"/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const LITERAL = /true|false|null/y;
const SPACE = /[ \t\r\n]*/y;

/**
 * A value as {kind, value, raw}: `raw` is its text, for numbers the only thing that is kept. Refuses a name that occurs
 * twice, because readers differ in which of the two they show, and half of a surrogate pair, which UTF-8 cannot write.
 */
function parseJson(text) {
  let at = 0;

  function token(pattern) {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match === null) throw new SyntaxError(`no JSON at character ${at}`);
    at = pattern.lastIndex;
    return match[0];
  }

  function sequence(close, item) {
    at += 1;
    token(SPACE);
    if (text[at] !== close) {
      for (;;) {
        item();
        token(SPACE);
        if (text[at] !== ",") break;
        at += 1;
        token(SPACE);
      }
    }
    if (text[at] !== close) throw new SyntaxError(`no ${close} at character ${at}`);
    at += 1;
  }

  function string() {
    const decodedText = JSON.parse(token(STRING));
    if (!decodedText.isWellFormed()) throw new SyntaxError("half of a surrogate pair");
    return decodedText;
  }

  function value() {
    const start = at;
    const made = { kind: "literal", value: null, raw: "" };
    if (text[at] === "{") {
      made.kind = "object";
      made.value = new Map();
      sequence("}", () => {
        const name = string();
        if (made.value.has(name)) throw new SyntaxError(`the name ${JSON.stringify(name)} occurs twice`);
        token(SPACE);
        if (text[at] !== ":") throw new SyntaxError(`no colon at character ${at}`);
        at += 1;
        token(SPACE);
        made.value.set(name, value());
      });
    } else if (text[at] === "[") {
      made.kind = "list";
      made.value = [];
      sequence("]", () => made.value.push(value()));
    } else if (text[at] === '"') {
      made.kind = "text";
      made.value = string();
    } else if (/[-0-9]/.test(text[at])) {
      made.kind = "number";
      token(NUMBER);
    } else {
      token(LITERAL);
    }
    made.raw = text.slice(start, at);
    return made;
  }

  token(SPACE);
  const parsed = value();
  token(SPACE);
  if (at !== text.length) throw new SyntaxError(`something after the value, at character ${at}`);
  return parsed;
}

/** Sorted names, no white space, no ASCII escapes. */
function canonical(node) {
  if (node.kind === "text") return JSON.stringify(node.value);
  if (node.kind === "list") return `[${node.value.map(canonical).join(",")}]`;
  if (node.kind !== "object") return node.raw;
  const names = [...node.value.keys()].sort(byCodePoint);
  return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(node.value.get(name))}`).join(",")}}`;
}

function json(text, what) {
  try {
    return parseJson(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw malformed(`${what} is not strict JSON: ${error.message}`);
  }
}

const DECIMAL = /^(?:0|[1-9][0-9]{0,15})$/;

/** The number, or null where the text is no whole number from 0 to 2^53 - 1. */
const natural = (text) => (DECIMAL.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : null);

/** Readers of one member each: the node in, a plain value out, undefined where it is of another type. */
const is = {
  text: (node) => (node.kind === "text" ? node.value : undefined),
  textOrNull: (node) => (node.raw === "null" ? null : is.text(node)),
  integer: (node) => (node.kind === "number" ? (natural(node.raw) ?? undefined) : undefined),
  hash: (node) => (node.kind === "text" && HASH.test(node.value) ? node.value : undefined),
  node: (node) => node,
  list: (item) => (node) => {
    if (node.kind !== "list") return undefined;
    const values = node.value.map(item);
    return values.includes(undefined) ? undefined : values;
  },
  map: (item) => (node) => {
    if (node.kind !== "object") return undefined;
    const values = new Map([...node.value].map(([name, value]) => [name, item(value)]));
    return [...values.values()].includes(undefined) ? undefined : values;
  },
  record: (members) => (node) => {
    const names = Object.keys(members);
    if (node.kind !== "object" || node.value.size !== names.length) return undefined;
    const record = {};
    for (const name of names) {
      record[name] = node.value.has(name) ? members[name](node.value.get(name)) : undefined;
      if (record[name] === undefined) return undefined;
    }
    return record;
  },
};

const TEXTS = is.list(is.text);
const HASHES = is.list(is.hash);
const CONTROL = is.record({ d: TEXTS, entry: is.text, proof: is.text });
const ROTATION = is.record({ entry: is.text, metadata: is.text, proof: is.text });
const PROOF = is.record({ range: is.text, consistency: is.map(HASHES), rotations: is.list(ROTATION) });
const END = is.record({ head: is.text, skipped: HASHES, totals: is.node });
const MANIFEST = is.record({
  ...{ v: is.text, format: is.text, origin: is.text, epoch: is.integer, start: is.integer, end: is.integer },
  ...{ size: is.integer, time_from: is.textOrNull, time_to: is.textOrNull, withheld: TEXTS, filter: is.map(is.text) },
  ...{ tenant: is.text, exported_at: is.text, exported_by: is.text, export_event: is.text, software: is.text },
  ...{ signed_by: TEXTS, cells: is.textOrNull, actions: TEXTS },
});

/** One document in its one spelling, read by one of the readers above. */
function documentOf(text, reader, what) {
  const node = json(text, what);
  if (canonical(node) !== text) throw malformed(`${what} is not written with sorted names, no white space, no escapes`);
  const read = reader(node);
  if (read === undefined) throw malformed(`${what} has not the members that it has to have`);
  return read;
}

// ---------------------------------------------------------------- entries and disclosures

const TIME = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z";
const DIGEST = `[A-Za-z0-9_-]{42}${LAST.base64}`;
const SD = `"(?:${[...FIELDS].sort().join("|")})":"${DIGEST}"`;
const ENTRY = new RegExp(
  `^\\{"action":"(?<action>(?=[a-z0-9_.]{3,96}")[a-z][a-z0-9_]*(?:\\.[a-z][a-z0-9_]*){1,5})","at":"(?<at>${TIME})",` +
    '"category":"(?<category>[a-z][a-z0-9_]{0,31})",' +
    '"id":"(?<id>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})",' +
    '"log":"(?<log>[!#-*,-\\[\\]-~]{1,255})","outcome":"(?<outcome>success|failure|denied)",' +
    `"prev":"(?<prev>[A-Za-z0-9+/]{42}${LAST.base64}=)","rec":"(?<rec>${TIME})","sd":\\{(?<sd>(?:${SD}(?:,${SD})*)?)\\},` +
    '"seq":(?<seq>0|[1-9][0-9]{0,15}),"severity":"(?<severity>info|low|medium|high|critical)",' +
    `"time":"(?<time>${TIME})","v":"auditkit-django/entry/1"\\}$`,
);

function isTime(text) {
  if (!new RegExp(`^${TIME}$`).test(text) || text.startsWith("0000")) return false;
  const milliseconds = `${text.slice(0, 23)}Z`;
  const date = new Date(milliseconds);
  // Date takes the 30th of February for a day in March; the text it gives back tells.
  return !Number.isNaN(date.getTime()) && date.toISOString() === milliseconds;
}

/** The members of an entry, `seq` as a number, `sd` as a map of field to digest, and its `leaf` hash. */
function parseEntry(text) {
  const match = Buffer.byteLength(text) <= MAX_ENTRY ? ENTRY.exec(text) : null;
  if (match === null) throw new Flaw("entry.malformed", "what stands for an entry is none, or not in its one form");
  const entry = { ...match.groups, text, seq: natural(match.groups.seq), leaf: leafHash(text) };
  if (entry.seq === null) throw new Flaw("entry.malformed", `seq is ${match.groups.seq}, beyond 2^53 - 1`);
  const digests = [...match.groups.sd.matchAll(/"([a-z_]+)":"([^"]+)"/g)].map(([, name, digest]) => [name, digest]);
  if (!isAscending(digests.map(([name]) => name))) {
    throw new Flaw("entry.malformed", "the names in sd are not sorted, or one occurs twice", entry.seq);
  }
  entry.sd = new Map(digests);
  for (const name of ["at", "rec", "time"]) {
    if (!isTime(entry[name])) throw new Flaw("entry.malformed", `${name} is ${entry[name]}, which is no time`, entry.seq);
  }
  return entry;
}

const ARRAY = new RegExp(`^\\["[A-Za-z0-9_-]{21}${LAST.salt}","(${FIELDS.join("|")})",(.*)\\]$`, "su");

/** {name, raw, node} of one RFC 9901 string that has to open a digest of `entry`. */
function open(disclosure, entry) {
  const broken = (why) => new Flaw("disclosure.malformed", `a disclosure ${why}`, entry.seq);
  const bytes = decoded(disclosure, "base64url");
  if (bytes === null || disclosure === "") throw broken("is not base64url in its one spelling");
  let text, match, node;
  try {
    text = utf8(bytes);
    match = ARRAY.exec(text);
    node = match && !/[\r\n]/.test(text) ? parseJson(match[2]) : null;
  } catch {
    throw broken("holds no strict JSON");
  }
  if (node === null) throw broken("is not of the form salt, name, value, on one line");
  const digest = sha256(disclosure).toString("base64url");
  if (entry.sd.get(match[1]) !== digest) {
    throw new Flaw("disclosure.mismatch", `the disclosure of ${match[1]} opens no digest of its entry`, entry.seq);
  }
  return { name: match[1], raw: match[2], node };
}

// ---------------------------------------------------------------- what is shown of an event

const SHOWN = ["seq", "id", "occurred_at", "recorded_at", "action", "category", "severity", "outcome"];
const EVENT_MEMBERS = [...SHOWN, ...FIELDS, "leaf_hash", "appended_at", "entry", "disclosures", "skipped"];
const PERSON = ["actor_type", "actor_id", "actor_name", "actor_email"];
const TARGET = ["target_type", "target_id", "target_name"];
const COLUMNS = [
  ...[...SHOWN, ...PERSON, "on_behalf_of", ...TARGET, "targets", "ip", "request_id", "changes", "metadata"],
  ...["context", "leaf_hash", "appended_at", "entry", "disclosures", "skipped", "evidence"],
];

/** The line of an event in jsonl and json, from what is proven. */
function eventLine(entry, opened, event) {
  const members = {
    ...{ seq: entry.seq, id: entry.id, occurred_at: entry.at, recorded_at: entry.rec, action: entry.action },
    ...{ category: entry.category, severity: entry.severity, outcome: entry.outcome },
    ...{ leaf_hash: entry.leaf.toString("hex"), appended_at: entry.time },
    ...{ disclosures: event.disclosures, skipped: event.skipped },
  };
  const raw = (name) => {
    if (name === "entry") return entry.text;
    return FIELDS.includes(name) ? (opened.get(name)?.raw ?? "null") : JSON.stringify(members[name]);
  };
  return `{${EVENT_MEMBERS.map((name) => `"${name}":${raw(name)}`).join(",")}}`;
}

/** The row of an event in csv, from what is proven. */
function eventRow(entry, opened, event) {
  const textOf = (node, name) => {
    const member = node?.kind === "object" ? node.value.get(name) : undefined;
    return member?.kind === "text" ? member.value : "";
  };
  const [actor, targets, context] = ["actor", "targets", "context"].map((name) => opened.get(name)?.node);
  const target = targets?.kind === "list" ? targets.value[0] : undefined;
  const cells = {
    ...{ seq: String(entry.seq), id: entry.id, occurred_at: entry.at, recorded_at: entry.rec, action: entry.action },
    ...{ category: entry.category, severity: entry.severity, outcome: entry.outcome },
    ...Object.fromEntries(PERSON.map((column) => [column, textOf(actor, column.slice("actor_".length))])),
    ...Object.fromEntries(TARGET.map((column) => [column, textOf(target, column.slice("target_".length))])),
    ...{ ip: textOf(context, "ip"), request_id: textOf(context, "request_id") },
    ...{ leaf_hash: entry.leaf.toString("hex"), appended_at: entry.time, entry: entry.text },
    ...{ disclosures: event.disclosures.join(" "), skipped: event.skipped.join(" "), evidence: "" },
  };
  return csvRow(COLUMNS.map((column) => cells[column] ?? opened.get(column)?.raw ?? ""));
}

const SIGNS = "=+\\-@'＝＋－＠";
const INNER_CELL = new RegExp(`([;\\t\\r\\n])(?=[ "\\0]*[${SIGNS}])`, "g");
const FORMULA = new RegExp(`^ *[${SIGNS}\\t\\r\\n\\0]`);

function protect(cell) {
  const inner = cell.replace(INNER_CELL, "$1'");
  return FORMULA.test(inner) ? `'${inner}` : inner;
}

const unprotect = (cell) => cell.replace(/^'/, "").replace(/([;\t\r\n])'/g, "$1");
const csvRow = (cells) => cells.map((cell) => `"${protect(cell).replaceAll('"', '""')}"`).join(",");

// ---------------------------------------------------------------- the tree (RFC 9162)

/** Sizes of the subtrees of the compact range [start, end), from the left. */
function cover(start, end) {
  const sizes = [];
  for (let at = start; at < end; at += sizes.at(-1)) {
    let size = 1;
    while (at % (size * 2) === 0 && at + size * 2 <= end) size *= 2;
    sizes.push(size);
  }
  return sizes;
}

/** Folds complete subtrees, given from the left and without a hole, to the root over all of them. */
class Fold {
  #stack = [];
  #size = 0;

  push(size, hash) {
    let subtree = { size, hash };
    this.#size += size;
    // Two of one size are siblings only if the left one begins at a multiple of what they are together.
    while (this.#stack.at(-1)?.size === subtree.size && this.#size % (subtree.size * 2) === 0) {
      const left = this.#stack.pop();
      subtree = { size: subtree.size * 2, hash: nodeHash(left.hash, subtree.hash) };
    }
    this.#stack.push(subtree);
  }

  pushAll(sizes, hashes) {
    sizes.forEach((size, index) => this.push(size, Buffer.from(hashes[index], "base64")));
  }

  root() {
    const hashes = this.#stack.map(({ hash }) => hash);
    return hashes.length ? hashes.reduceRight((right, left) => nodeHash(left, right)) : sha256("");
  }
}

const half = (number) => Math.floor(number / 2);

/** The root that the inclusion proof leads to, or null (section 2.1.3.2). */
function rootOfInclusion(leaf, index, size, path) {
  if (index >= size) return null;
  let [fn, sn, root] = [index, size - 1, leaf];
  for (const hash of path) {
    if (sn === 0) return null;
    if (fn % 2 === 1 || fn === sn) {
      root = nodeHash(hash, root);
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = [half(fn), half(sn)];
    } else {
      root = nodeHash(root, hash);
    }
    [fn, sn] = [half(fn), half(sn)];
  }
  return sn === 0 ? root : null;
}

/** Whether `path` proves that the second tree extends the first, smaller one (section 2.1.4.2). */
function isExtension(first, firstRoot, second, secondRoot, path) {
  if (path.length === 0) return false;
  const isPowerOfTwo = cover(0, first).length === 1;
  const [seed, ...rest] = isPowerOfTwo ? [firstRoot, ...path] : path;
  let [fn, sn, fr, sr] = [first - 1, second - 1, seed, seed];
  while (fn % 2 === 1) [fn, sn] = [half(fn), half(sn)];
  for (const hash of rest) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      [fr, sr] = [nodeHash(hash, fr), nodeHash(hash, sr)];
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = [half(fn), half(sn)];
    } else {
      sr = nodeHash(sr, hash);
    }
    [fn, sn] = [half(fn), half(sn)];
  }
  return sn === 0 && fr.equals(firstRoot) && sr.equals(secondRoot);
}

// ---------------------------------------------------------------- keys and notes (C2SP)

const P = 2n ** 255n - 19n;
// The y of all points of order 1, 2, 4 and 8: with such a key a signature can be made that fits any text.
const SMALL_ORDER_Y = new Set([
  ...[0n, 1n, P - 1n],
  0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd83d3d706a17c7n,
  0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n,
]);
const SPKI_OF_ED25519 = Buffer.from("302a300506032b6570032100", "hex");
const KEY_NAME = /^[^\s+\u0000-\u001f\u0085]+$/u;

/** {name, id, key} of `<name>+<key id>+<base64(0x01 ‖ key)>`. */
function parseKey(text) {
  const [, name, id, encoded] = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)$/.exec(text) ?? [];
  const bytes = encoded === undefined ? null : decoded(encoded, "base64");
  const wrong = (why) => new Flaw("note.signature", `the verifier key ${JSON.stringify(text)} ${why}`);
  if (bytes === null || !KEY_NAME.test(name) || bytes.length !== 33 || bytes[0] !== 1) {
    throw wrong("is not <name>+<key id>+<base64 of 0x01 and 32 bytes>");
  }
  if (sha256(name, "\n", bytes).subarray(0, 4).toString("hex") !== id) throw wrong("does not have the key id it says");
  const point = bytes.subarray(1);
  const y = BigInt(`0x${Buffer.from(point).reverse().toString("hex")}`) & (2n ** 255n - 1n);
  if (y >= P || SMALL_ORDER_Y.has(y)) throw wrong("is of small order, or not canonical");
  const key = createPublicKey({ key: Buffer.concat([SPKI_OF_ED25519, point]), format: "der", type: "spki" });
  return { name, id, text, key };
}

/** {origin, size, root, text, signatures, note} of a C2SP checkpoint in a signed note. */
function parseCheckpoint(note) {
  const wrong = (why) => new Flaw("note.signature", `the checkpoint is no C2SP checkpoint in a signed note: ${why}`);
  const split = note.lastIndexOf("\n\n");
  if (split === -1 || !note.endsWith("\n")) throw wrong("no empty line, or no line feed at the end");
  if (/[\u0000-\u0009\u000b-\u001f]/.test(note)) throw wrong("control characters");
  const text = note.slice(0, split + 1);
  const signatures = note.slice(split + 2, -1).split("\n").map((line) => {
    const [, name, encoded] = /^— (\S+) (\S+)$/u.exec(line) ?? [];
    const bytes = encoded === undefined ? null : decoded(encoded, "base64");
    if (bytes === null || bytes.length < 5 || !KEY_NAME.test(name)) throw wrong("a line that is no signature");
    return { name, id: bytes.subarray(0, 4).toString("hex"), signature: bytes.subarray(4) };
  });
  const [origin, decimal, root, ...extensions] = text.slice(0, -1).split("\n");
  const size = natural(decimal ?? "");
  if (!origin || size === null || !HASH.test(root ?? "") || extensions.includes("")) throw wrong("its lines");
  return { origin, size, root: Buffer.from(root, "base64"), text, signatures, note };
}

/** Checks that a trusted key signed: `trusted` is a list of {name, id, key, from, to}. */
function checkSigned(checkpoint, trusted, origin, code) {
  if (checkpoint.origin !== origin) {
    throw new Flaw(code, `the checkpoint is of the log ${checkpoint.origin}, not of ${origin}`);
  }
  let isSigned = false;
  for (const { name, id, signature } of checkpoint.signatures) {
    const one = trusted.find((key) => key.name === name && key.id === id);
    if (one === undefined) continue;
    if (!verifySignature(null, Buffer.from(checkpoint.text), one.key, signature)) {
      throw new Flaw(code, `the signature under the checkpoint by the key ${name}+${id} is wrong`);
    }
    isSigned ||= name === origin && one.from <= checkpoint.size && checkpoint.size <= one.to;
  }
  if (!isSigned) throw new Flaw(code, `no trusted key signed the checkpoint of ${checkpoint.size} entries`);
}

/** {index, path, note} of a C2SP tlog-proof. */
function parseTlogProof(text, code) {
  const wrong = () => new Flaw(code, "its proof is no C2SP tlog-proof");
  const split = text.indexOf("\n\n");
  const lines = text.slice(0, Math.max(split, 0)).split("\n");
  if (lines.shift() !== "c2sp.org/tlog-proof@v1") throw wrong();
  if (lines[0]?.startsWith("extra ") && decoded(lines.shift().slice("extra ".length), "base64") === null) throw wrong();
  const [first = "", ...path] = lines;
  const index = first.startsWith("index ") ? natural(first.slice("index ".length)) : null;
  if (index === null || !path.every((hash) => HASH.test(hash))) throw wrong();
  return { index, path: path.map((hash) => Buffer.from(hash, "base64")), note: text.slice(split + 2) };
}

/** The entry is at its place under the checkpoint of its proof; gives that checkpoint. */
function checkInclusion(entry, proofText, code) {
  const proof = parseTlogProof(proofText, code);
  const checkpoint = parseCheckpoint(proof.note);
  const root = rootOfInclusion(entry.leaf, proof.index, checkpoint.size, proof.path);
  if (proof.index !== entry.seq || root === null || !root.equals(checkpoint.root)) {
    throw new Flaw(code, "the proof does not lead from the entry to its checkpoint", entry.seq);
  }
  return checkpoint;
}

/** The keys that the given ones lead to, each with the sizes that it signs (docs/keys.md). */
function follow(given, rotations, report) {
  const trusted = given.map((key) => ({ ...key, from: 0, to: Infinity }));
  for (const rotation of rotations) {
    report.guard("rotation.proof", () => {
      const entry = parseEntry(rotation.entry);
      const refuse = (why) => new Flaw("rotation.proof", `a rotation of keys is not proven: ${why}`, entry.seq);
      const metadata = open(rotation.metadata, entry);
      if (entry.action !== ROTATED || metadata.name !== "metadata") throw refuse("it is none, or opens something else");
      const [before, after] = ["old", "new"].map((name) => metadata.node.value?.get?.(name)?.value);
      if (typeof before !== "string" || typeof after !== "string") throw refuse("its metadata names no two keys");
      const old = trusted.find((key) => key.text === before);
      // What leads from a key that nobody gave proves nothing, and nothing rests on it.
      if (old === undefined) return;
      const next = parseKey(after);
      if (entry.log !== old.name || next.name !== old.name) throw refuse("it is another log's");
      const checkpoint = checkInclusion(entry, rotation.proof, "rotation.proof");
      checkSigned(checkpoint, [old], old.name, "rotation.proof");
      checkSigned(checkpoint, [{ ...next, from: 0, to: Infinity }], old.name, "rotation.proof");
      old.to = checkpoint.size;
      if (!trusted.some((key) => key.text === after)) trusted.push({ ...next, from: entry.seq + 1, to: Infinity });
    });
  }
  return trusted;
}

/** {start, end, left, right, note} of a range proof. */
function parseRangeProof(text) {
  const wrong = () => malformed(`the range proof is not of the form ${RANGE_PROOF}`);
  const lines = text.split("\n");
  const numbers = (word, count) => {
    const [first, ...decimals] = (lines.shift() ?? "").split(" ");
    const values = decimals.map(natural);
    if (first !== word || values.length !== count || values.includes(null)) throw wrong();
    return values;
  };
  const hashes = (word) => {
    const [count] = numbers(word, 1);
    const taken = lines.splice(0, count);
    if (taken.length !== count || !taken.every((hash) => HASH.test(hash))) throw wrong();
    return taken;
  };
  if (lines.shift() !== RANGE_PROOF) throw wrong();
  const [start, end] = numbers("range", 2);
  const [left, right] = [hashes("left"), hashes("right")];
  if (lines.shift() !== "") throw wrong();
  return { start, end, left, right, note: lines.join("\n") };
}

// ---------------------------------------------------------------- readers: a file in, its documents out

/*
 * Each reader fills {format, manifest, proof, controls, events, end, head, render} and throws where the file ends too
 * early or is of another form. An event is {entry, disclosures, skipped, shown}: `shown` is what `render` has to make again.
 */

/** The lines of a file, decoded; a last one without line feed is where it was cut off. */
function* linesOf(data, what) {
  for (let at = 0; at < data.length; ) {
    const end = data.indexOf(10, at);
    if (end === -1 && data.length - at <= MAX_LINE) throw cut(`${what} ends within a line`);
    if (end === -1 || end - at > MAX_LINE) throw malformed(`a line of ${what} is longer than 1 MiB`);
    yield utf8(data.subarray(at, end), `a line of ${what}`);
    at = end + 1;
  }
}

/** Documents other than events, each given as its line of jsonl. */
function take(file, line) {
  const [, kind] = /^\{"(manifest|proof|control|end)":/.exec(line) ?? [];
  const readers = { manifest: MANIFEST, proof: PROOF, control: CONTROL, end: END };
  if (kind === undefined) throw malformed("a document is neither manifest, proof, control nor end");
  const document = documentOf(line, is.record({ [kind]: readers[kind] }), `the document ${kind}`)[kind];
  const before = { manifest: [], proof: ["manifest"], control: ["proof", "control"], end: ["proof", "control"] };
  const isFirst = file.last === undefined;
  if (isFirst ? kind !== "manifest" : !before[kind].includes(file.last)) throw malformed(`${kind} is out of its place`);
  file.last = kind;
  if (kind === "control") file.controls.push(document);
  else file[kind] = document;
  if (kind !== "end") file.head.push(line, "\n");
}

function readEvent(line) {
  const node = json(line, "an event");
  const names = node.kind === "object" ? [...node.value.keys()] : [];
  if (names.join() !== EVENT_MEMBERS.join()) throw malformed("an event has not the members that it has to have");
  const [disclosures, skipped] = [TEXTS(node.value.get("disclosures")), HASHES(node.value.get("skipped"))];
  if (!disclosures || !skipped) throw malformed("disclosures or skipped of an event is no list of what it has to hold");
  return { entry: node.value.get("entry").raw, disclosures, skipped, shown: line };
}

function readJsonl(data, file) {
  file.render = eventLine;
  for (const line of linesOf(data, "the file")) {
    if (file.end) throw malformed("something stands after the end");
    if (!line.startsWith('{"seq":')) take(file, line);
    else if (file.proof) file.events.push(readEvent(line));
    else throw malformed("an event stands before the proof");
  }
  if (!file.end) throw cut("the file has no end");
}

function readJson(data, file) {
  file.render = eventLine;
  const lines = linesOf(data, "the file");
  const next = () => {
    const { value, done } = lines.next();
    if (done) throw cut("the file has no end");
    return value;
  };
  const member = () => {
    const line = next();
    if (!line.endsWith(",")) throw malformed("a line lacks the comma at its end");
    return line.slice(0, -1);
  };
  const list = (first, item) => {
    if (next() !== first) throw malformed(`the line ${first} is not where it has to be`);
    let hasComma = null;
    for (let line = next(); line !== "],"; line = next()) {
      if (hasComma === false) throw malformed("a line lacks the comma at its end");
      hasComma = line.endsWith(",");
      item(hasComma ? line.slice(0, -1) : line);
    }
    if (hasComma) throw malformed("a list ends with a comma");
  };
  take(file, `${member()}}`);
  take(file, `{${member()}}`);
  list('"control":[', (line) => take(file, `{"control":${line}}`));
  list('"events":[', (line) => file.events.push(readEvent(line)));
  take(file, `{${next()}`);
  if (!lines.next().done) throw malformed("something stands after the end");
}

/** The rows of a csv in its one form, each as {raw, cells}. */
function* rowsOf(data) {
  let at = 0;
  while (at < data.length) {
    const start = at;
    const cells = [];
    for (let isOpen = true; isOpen; ) {
      if (data[at] !== 0x22) throw malformed("a cell of the csv does not begin with a double quote");
      const first = at + 1;
      for (at = data.indexOf(0x22, first); at !== -1 && data[at + 1] === 0x22; ) at = data.indexOf(0x22, at + 2);
      if ((at === -1 ? data.length : at) - start > MAX_LINE) throw malformed("a row of the csv is longer than 1 MiB");
      if (at === -1) throw cut("the file ends within a cell");
      cells.push([first, at]);
      isOpen = data[at + 1] === 0x2c;
      at += isOpen ? 2 : 1;
      if (isOpen && at === data.length) throw cut("the file ends within a row");
    }
    if (at >= data.length || (at === data.length - 1 && data[at] === 13)) throw cut("the file ends within a row");
    if (data[at] !== 13 || data[at + 1] !== 10) throw malformed("a row of the csv does not end with CR LF");
    const texts = cells.map(([from, to]) => utf8(data.subarray(from, to), "a cell of the csv").replaceAll('""', '"'));
    yield { raw: utf8(data.subarray(start, at), "a row of the csv"), cells: texts };
    at += 2;
  }
}

function readCsv(data, file) {
  file.render = eventRow;
  const rows = rowsOf(data);
  const header = rows.next().value;
  if (header.cells.join() !== COLUMNS.join()) {
    throw header.cells.includes("evidence") ? malformed("the csv has other columns") : cut("a listing without proof");
  }
  const items = (cell) => (cell === "" ? [] : cell.split(" "));
  for (const { raw, cells } of rows) {
    if (file.end) throw malformed("something stands after the end");
    if (cells.length !== COLUMNS.length) throw malformed("a row of the csv has another number of cells");
    const line = unprotect(cells.at(-1));
    if (line !== "") {
      if (csvRow([...COLUMNS.slice(1).map(() => ""), line]) !== raw) throw malformed("a row of a document is not in its form");
      take(file, line);
    } else if (file.manifest) {
      throw malformed("an event stands after the manifest");
    } else {
      const [entry, disclosures, skipped] = cells.slice(-4, -1).map(unprotect);
      const event = { entry, disclosures: items(disclosures), skipped: items(skipped), shown: raw };
      if (!event.skipped.every((hash) => HASH.test(hash))) throw malformed("skipped of an event holds no hashes");
      file.events.push(event);
    }
  }
  if (!file.end) throw cut("the file has no end");
}

const BUNDLE_NEEDS = ["manifest.json", "entries.jsonl", "disclosures.jsonl", "control.jsonl", "range.proof"];
const BUNDLE_FILES = [...BUNDLE_NEEDS, "checkpoint.note"];
const BUNDLE_MAY = /^(?:rotations\.jsonl|report\.(?:html|pdf)|VERIFY\.md|verify\.py|consistency\/(?:0|[1-9][0-9]{0,15})\.txt)$/;

function readBundle(data, file) {
  const parts = unzip(data);
  for (const name of parts.keys()) {
    if (!BUNDLE_FILES.includes(name) && !BUNDLE_MAY.test(name)) throw malformed(`a bundle has no file ${name}`);
  }
  for (const name of BUNDLE_FILES) {
    if (!parts.has(name)) throw malformed(`the bundle has no ${name}`);
  }
  const textOf = (name) => utf8(parts.get(name), name);
  const top = is.record({ files: is.map(is.text), manifest: MANIFEST, totals: is.node })(
    json(textOf("manifest.json"), "manifest.json"),
  );
  if (top === undefined) throw malformed("manifest.json has not the members that it has to have");
  checkDigests(top.files, parts);
  file.manifest = top.manifest;
  const documents = (name, reader) => [...partLines(parts, name)].map((line) => documentOf(line, reader, `a line of ${name}`));
  const consistency = new Map();
  for (const name of parts.keys()) {
    if (!name.startsWith("consistency/")) continue;
    const hashes = [...partLines(parts, name)];
    if (!hashes.every((hash) => HASH.test(hash))) throw malformed(`a line of ${name} is no hash`);
    consistency.set(name.slice("consistency/".length, -".txt".length), hashes);
  }
  const rotations = parts.has("rotations.jsonl") ? documents("rotations.jsonl", ROTATION) : [];
  file.proof = { range: textOf("range.proof"), consistency, rotations };
  if (parseRangeProof(file.proof.range).note !== textOf("checkpoint.note")) {
    throw new Flaw("file.digest", "checkpoint.note is not the checkpoint of range.proof");
  }
  file.controls = documents("control.jsonl", CONTROL);
  file.end = { skipped: [], totals: top.totals };
  readEntries(parts, file, documents("disclosures.jsonl", is.record({ d: TEXTS, seq: is.integer })));
}

function* partLines(parts, name) {
  try {
    yield* linesOf(parts.get(name), name);
  } catch (error) {
    // The zip is whole, so nothing was cut off on the way.
    throw error.code === "file.cut" ? malformed(error.message) : error;
  }
}

function checkDigests(files, parts) {
  for (const [name, bytes] of parts) {
    if (name !== "manifest.json" && files.get(name) !== sha256Hex(bytes)) {
      throw new Flaw("file.digest", `${name} is not the file that manifest.json names`);
    }
  }
  for (const name of files.keys()) {
    if (name === "manifest.json" || !parts.has(name)) throw new Flaw("file.digest", `manifest.json names ${name}`);
  }
}

function readEntries(parts, file, disclosed) {
  const disclosures = new Map(disclosed.map(({ d, seq }) => [seq, d]));
  const isSorted = disclosed.every(({ seq }, index) => index === 0 || disclosed[index - 1].seq < seq);
  if (!isSorted || disclosed.some(({ d }) => d.length === 0)) throw malformed("disclosures.jsonl is not in its form");
  let skipped = [];
  for (const line of partLines(parts, "entries.jsonl")) {
    if (line.startsWith('{"skipped":')) {
      if (skipped.length) throw malformed("two lines of what is left out follow each other");
      skipped = documentOf(line, is.record({ skipped: HASHES }), "a line of entries.jsonl").skipped;
      if (!skipped.length) throw malformed("a line of what is left out is empty");
      continue;
    }
    const seq = natural(ENTRY.exec(line)?.groups.seq ?? "");
    file.events.push({ entry: line, disclosures: disclosures.get(seq) ?? [], skipped });
    disclosures.delete(seq);
    skipped = [];
  }
  file.end.skipped = skipped;
  for (const seq of disclosures.keys()) {
    throw new Flaw("disclosure.mismatch", "a disclosure is of an entry that is not there, or there twice", seq);
  }
}

// ---------------------------------------------------------------- zip

/** The files of a zip by name. Refuses what two programs may read in two ways: doubles, gaps, and headers that differ. */
function unzip(data) {
  const { count, start, end } = zipDirectory(data);
  const files = [];
  let at = start;
  for (let index = 0; index < count; index += 1) {
    if (at + 46 > end || data.readUInt32LE(at) !== 0x02014b50) throw malformed("the directory of the zip is broken");
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((offset) => data.readUInt16LE(at + offset));
    const next = at + 46 + nameLength + extraLength + commentLength;
    if (next > end || commentLength) throw malformed("the directory of the zip is broken, or has comments");
    const one = {
      ...{ flags: data.readUInt16LE(at + 8), method: data.readUInt16LE(at + 10), crc: data.readUInt32LE(at + 16) },
      ...{ packed: data.readUInt32LE(at + 20), size: data.readUInt32LE(at + 24), offset: data.readUInt32LE(at + 42) },
      name: utf8(data.subarray(at + 46, at + 46 + nameLength), "a name in the zip"),
    };
    widen(one, data.subarray(at + 46 + nameLength, at + 46 + nameLength + extraLength));
    files.push(one);
    at = next;
  }
  if (at !== end) throw malformed("the directory of the zip is of another length than it says");
  return unpack(data, files, start);
}

const MAX_UINT32 = 0xffffffff;

/** Where the directory is: at the very end, with nothing behind it. */
function zipDirectory(data) {
  const at = data.lastIndexOf(Buffer.from("PK\x05\x06", "latin1"));
  if (at === -1 || at + 22 > data.length) throw cut("the zip has no directory");
  if (at + 22 !== data.length || data.readUInt16LE(at + 20)) throw malformed("something stands behind the directory of the zip");
  let [count, size, start, end] = [data.readUInt16LE(at + 10), data.readUInt32LE(at + 12), data.readUInt32LE(at + 16), at];
  if (data.readUInt32LE(at + 4) || data.readUInt16LE(at + 8) !== count) throw malformed("the zip is one of several");
  if (count === 0xffff || size === MAX_UINT32 || start === MAX_UINT32) {
    end = at - 20 - 56;
    if (end < 0 || data.readUInt32LE(end) !== 0x06064b50 || data.readUInt32LE(at - 20) !== 0x07064b50) {
      throw malformed("the directory of the zip is broken");
    }
    [count, size, start] = [32, 40, 48].map((offset) => Number(data.readBigUInt64LE(end + offset)));
  }
  if (start + size !== end) throw malformed("the directory of the zip is not where it says");
  return { count, start, end };
}

/** Sizes beyond 32 bits stand in an extra field, those that are needed and in this order. */
function widen(one, extra) {
  for (let at = 0; at + 4 <= extra.length; at += 4 + extra.readUInt16LE(at + 2)) {
    if (extra.readUInt16LE(at) !== 1) continue;
    let from = at + 4;
    for (const name of ["size", "packed", "offset"]) {
      if (one[name] !== MAX_UINT32) continue;
      if (from + 8 > extra.length) throw malformed("the directory of the zip is broken");
      one[name] = Number(extra.readBigUInt64LE(from));
      from += 8;
    }
  }
}

function unpack(data, files, directory) {
  const parts = new Map();
  let at = 0;
  let total = 0;
  for (const one of [...files].sort((a, b) => a.offset - b.offset)) {
    const { name, flags, method, packed, size, offset } = one;
    // Of the flags, only "sizes follow the data", "name is UTF-8" and the levels of deflate change nothing that counts.
    if (flags & ~0x080e || ![0, 8].includes(method)) throw malformed(`${name} is encrypted, or packed in another way`);
    if (parts.has(name)) throw malformed(`${name} is in the zip twice`);
    if (offset !== at || at + 30 > directory) throw malformed("there is something between the files of the zip");
    const begin = at + 30 + data.readUInt16LE(at + 26) + data.readUInt16LE(at + 28);
    const has32 = (offset, number) => [number, MAX_UINT32].includes(data.readUInt32LE(at + offset));
    const isSame =
      (flags & 8 || (has32(14, one.crc) && has32(18, packed) && has32(22, size))) &&
      data.readUInt32LE(at) === 0x04034b50 &&
      data.readUInt16LE(at + 6) === flags &&
      data.readUInt16LE(at + 8) === method &&
      data.subarray(at + 30, at + 30 + data.readUInt16LE(at + 26)).equals(Buffer.from(name));
    if (!isSame || begin + packed > directory) throw malformed(`the header of ${name} is not what the directory says`);
    total += size;
    if (total > MAX_UNZIPPED) throw malformed("the zip unpacks to more than 2 GiB");
    parts.set(name, inflate(data.subarray(begin, begin + packed), one));
    at = begin + packed;
    if (flags & 8) at += descriptorLength(data.subarray(at, directory), one);
  }
  if (at !== directory) throw malformed("there is something between the files of the zip");
  return parts;
}

function inflate(packed, { name, method, size, crc }) {
  let bytes = packed;
  if (method === 8) {
    try {
      // Ends where more comes out than the directory says, which stops a bomb.
      const { buffer, engine } = inflateRawSync(packed, { maxOutputLength: Math.max(size, 1), info: true });
      if (engine.bytesWritten !== packed.length) throw new RangeError("data behind the end");
      bytes = buffer;
    } catch (error) {
      throw malformed(`${name} cannot be unpacked: ${error.message}`);
    }
  }
  if (bytes.length !== size || crc32(bytes) !== crc) throw malformed(`${name} is damaged: its size or CRC-32 is another`);
  return bytes;
}

/** The sizes after the data, with or without a signature, of 32 or 64 bits. */
function descriptorLength(after, { crc, packed, size }) {
  for (const signature of [Buffer.from("PK\x07\x08", "latin1"), Buffer.alloc(0)]) {
    for (const width of [4, 8]) {
      const made = Buffer.alloc(4 + 2 * width);
      made.writeUInt32LE(crc);
      [packed, size].forEach((number, index) => {
        if (width === 8) made.writeBigUInt64LE(BigInt(number), 4 + index * 8);
        else made.writeUInt32LE(number % 2 ** 32, 4 + index * 4);
      });
      const whole = Buffer.concat([signature, made]);
      const next = after.subarray(whole.length, whole.length + 2);
      if (after.subarray(0, whole.length).equals(whole) && (next.length === 0 || next.equals(Buffer.from("PK")))) {
        return whole.length;
      }
    }
  }
  throw malformed("the sizes after a file of the zip are not those of the directory");
}

// ---------------------------------------------------------------- what the log lets be missing

/** Places, as runs from a first to a last one. */
class Runs {
  #runs = [];
  #isSorted = true;

  add(runs) {
    for (const run of runs) this.#runs.push(run);
    this.#isSorted = false;
  }

  has(place) {
    if (!this.#isSorted) this.#sort();
    let [low, high] = [0, this.#runs.length];
    while (low < high) {
      const middle = half(low + high);
      if (this.#runs[middle][1] < place) low = middle + 1;
      else high = middle;
    }
    return low < this.#runs.length && this.#runs[low][0] <= place;
  }

  #sort() {
    const joined = [];
    for (const [first, last] of this.#runs.sort((one, other) => one[0] - other[0])) {
      if (joined.length && first <= joined.at(-1)[1]) joined.at(-1)[1] = Math.max(joined.at(-1)[1], last);
      else joined.push([first, last]);
    }
    [this.#runs, this.#isSorted] = [joined, true];
  }
}

/** Erasures and purges of the log of one epoch, as its control entries say them. */
class Licences {
  #erased = new Map();
  #purges = [];
  firstPlace = 0;

  constructor(epoch) {
    this.epoch = epoch;
  }

  add(entry, metadata) {
    if (metadata?.kind !== "object") return;
    const member = (name) => metadata.value.get(name);
    if (entry.action === ERASED && member("erased")?.kind === "list") {
      member("erased").value.forEach((item) => this.#erase(item, entry.seq));
    } else if (entry.action === PURGED) {
      this.#purge(member, entry.seq);
    }
  }

  #erase(item, before) {
    if (item.kind !== "object") return;
    const [epoch, fields, seqs] = ["epoch", "fields", "seqs"].map((name) => item.value.get(name));
    const names = fields && TEXTS(fields);
    if (!epoch || is.integer(epoch) !== this.epoch || !names || seqs?.kind !== "text") return;
    const runs = seqs.value.split(",").map((run) => {
      const ends = run.split("-").map(natural);
      return ends.length <= 2 && !ends.includes(null) && ends[0] <= ends.at(-1) ? [ends[0], ends.at(-1)] : null;
    });
    if (runs.includes(null) || runs.some(([, last]) => last >= before)) return;
    for (const name of names) {
      if (!this.#erased.has(name)) this.#erased.set(name, new Runs());
      this.#erased.get(name).add(runs);
    }
  }

  #purge(member, seq) {
    const [epoch, until, kind, except] = ["epoch", "until", "kind", "except"].map(member);
    const spared = except === undefined ? [] : TEXTS(except);
    if (!epoch || is.integer(epoch) !== this.epoch || !until || !kind || spared === undefined) return;
    const [place, name] = [is.integer(until), is.textOrNull(kind)];
    if (place === undefined || place > seq || name === undefined) return;
    this.#purges.push({ until: place, kind: name, spared });
    if (name === null) this.firstPlace = Math.max(this.firstPlace, place);
  }

  isErased(entry, name) {
    return this.#erased.get(name)?.has(entry.seq) ?? false;
  }

  isPurged(entry) {
    const names = [entry.category, entry.action];
    return this.#purges.some(
      ({ until, kind, spared }) =>
        entry.seq < until &&
        (kind === null || (!OF_THE_LOG.has(entry.action) && (kind === "*" || names.includes(kind)))) &&
        !names.some((name) => spared.includes(name)),
    );
  }
}

// ---------------------------------------------------------------- verification

class Report {
  findings = [];
  gaps = [];

  find(code, message, seq = null) {
    this.findings.push({ code, message, seq });
  }

  gap(code, message) {
    this.gaps.push({ code, message, seq: null });
  }

  /** Does the work; a flaw in it becomes a finding, of `code` where one is given. */
  guard(code, work) {
    try {
      return work();
    } catch (error) {
      if (error instanceof RangeError) error = malformed(`it is nested deeper than can be read: ${error.message}`);
      if (!(error instanceof Flaw)) throw error;
      this.find(code ?? error.code, error.message, error.seq);
      return undefined;
    }
  }

  get verdict() {
    if (this.findings.some(({ code }) => code !== "file.cut")) return "INVALID";
    if (this.findings.length) return "INCOMPLETE";
    return this.gaps.length ? "VALID_WITH_GAPS" : "VALID";
  }
}

function formOf(data) {
  const starts = { bundle: "PK\x03\x04", csv: '"seq","id",', json: '{"manifest":{' };
  const begins = (start) => data.subarray(0, start.length).toString("latin1");
  for (const [form, start] of Object.entries(starts)) {
    if (data.length < start.length && start.startsWith(begins(start))) throw cut("the file is empty, or ends at once");
    if (begins(start) === start && form !== "json") return form;
  }
  if (begins(starts.json) === starts.json) {
    const end = data.indexOf(10);
    if (end === -1 && data.length <= MAX_LINE) throw cut("the file ends within its first line");
    return data[end - 1] === 0x2c ? "json" : "jsonl";
  }
  if (isListing(data)) throw cut("a listing without proof");
  throw malformed("the file is neither a bundle nor csv, json or jsonl with a proof");
}

function isListing(data) {
  const end = data.indexOf(10);
  const [first] = data.subarray(0, end === -1 ? data.length : end).toString("utf8").split("\r");
  if (/^"[a-z_]+"(?:,"[a-z_]+")*$/.test(first)) return !first.includes('"evidence"');
  try {
    const node = parseJson(first.replace(/^\[/, "").replace(/[\],]*$/, ""));
    return node.kind === "object" && node.value.has("action") && node.value.has("id");
  } catch {
    return first === "[" || first === "[]";
  }
}

/** The report on the bytes of a file: `keys` are the texts of verifier keys, `since` of notes. */
export function verify(data, keys, since = []) {
  const report = new Report();
  const file = { controls: [], events: [], head: [] };
  report.guard(null, () => {
    file.format = formOf(data);
    const readers = { bundle: readBundle, csv: readCsv, json: readJson, jsonl: readJsonl };
    readers[file.format](data, file);
  });
  const isWhole = report.findings.length === 0;
  // Of a file that was cut off, what stands before the cut may still show that it is worse; a csv has its proof at the end.
  const isCut = report.verdict === "INCOMPLETE" && file.proof !== undefined && file.format !== "csv";
  if (isWhole || isCut) report.guard(null, () => check(file, keys, since, report));
  return { verdict: report.verdict, findings: report.findings, gaps: report.gaps };
}

function check(file, keys, since, report) {
  const { manifest, proof } = file;
  const given = keys.map((text) => report.guard(null, () => parseKey(text))).filter((key) => key !== undefined);
  const range = parseRangeProof(proof.range);
  const trusted = follow(given, proof.rotations, report);
  const checkpoint = parseCheckpoint(range.note);
  report.guard(null, () => checkSigned(checkpoint, trusted, manifest.origin, "note.signature"));
  checkManifest(file, range, checkpoint, report);
  const licences = new Licences(manifest.epoch);
  const controls = { places: new Set(), last: -1 };
  for (const control of file.controls) {
    report.guard("control.proof", () => checkControl(control, checkpoint, controls, licences));
  }
  const walk = walkEvents(file, range, controls, licences, report);
  if (file.end) {
    checkRoot(walk, file, range, checkpoint, report);
    checkEdges(walk, manifest, licences, report);
    checkEnd(walk, file, report);
    reportGaps(walk, report);
  }
  for (const note of since) report.guard(null, () => checkSince(note, trusted, manifest, proof, checkpoint, report));
}

function checkManifest({ format, manifest, proof }, range, checkpoint, report) {
  const claim = (isTrue, message) => isTrue || report.find("manifest.claim", message);
  if (manifest.v !== EVIDENCE) throw malformed(`the manifest is of the format ${manifest.v}`);
  claim(manifest.format === format, `the manifest says ${manifest.format}, the file is ${format}`);
  claim(manifest.start === range.start && manifest.end === range.end, "the manifest names another range than the proof");
  claim(manifest.size === checkpoint.size, "the manifest names another size than the checkpoint");
  const signedBy = checkpoint.signatures.map(({ name, id }) => `${name}+${id}`);
  claim(manifest.signed_by.join("\n") === signedBy.join("\n"), "signed_by is not who signed the checkpoint");
  claim((manifest.cells !== null) === (format === "csv"), "the rule for cells is for csv, and has to be there");
  for (const name of ["time_from", "time_to"]) {
    if (manifest[name] !== null && !isTime(manifest[name])) throw malformed(`${name} is no time`);
  }
  for (const name of ["withheld", "actions"]) {
    if (!isAscending(manifest[name])) throw malformed(`${name} is not sorted, or names something twice`);
  }
  if (manifest.withheld.some((name) => !FIELDS.includes(name))) throw malformed("withheld names what is no field");
  for (const size of proof.consistency.keys()) {
    if (natural(size) === null) throw malformed(`a consistency proof is from ${size}, which is no size`);
  }
  if (range.start > range.end || range.end > checkpoint.size) {
    throw new Flaw("range.root", `the range ${range.start} to ${range.end} is not one of ${checkpoint.size} entries`);
  }
}

function checkControl(control, checkpoint, controls, licences) {
  const entry = parseEntry(control.entry);
  const refuse = (why) => new Flaw("control.proof", `an erasure or a purge is not proven: ${why}`, entry.seq);
  if (![ERASED, PURGED].includes(entry.action)) throw refuse(`its action is ${entry.action}`);
  if (entry.log !== checkpoint.origin) throw refuse("it is another log's");
  controls.places.add(entry.seq);
  if (entry.seq <= controls.last) throw refuse("it is not in order of seq");
  controls.last = entry.seq;
  const proven = checkInclusion(entry, control.proof, "control.proof");
  if (proven.note !== checkpoint.note) throw refuse("its proof leads to another checkpoint than that of the range");
  if (control.d.length > 1) throw refuse("it has more than one disclosure");
  for (const disclosure of control.d) {
    const metadata = open(disclosure, entry);
    if (metadata.name !== "metadata") throw refuse(`it discloses ${metadata.name}`);
    licences.add(entry, metadata.node);
  }
}

/** Goes through the events in order; gives what the steps after it need. */
function walkEvents(file, range, controls, licences, report) {
  const { manifest } = file;
  const fold = new Fold();
  const walk = { fold, place: range.start, isWhole: true, before: [], after: [], first: null, last: null };
  walk.totals = { events: 0, left_out: 0, disclosed: 0, withheld: 0, erased: 0, purged: 0 };
  walk.counts = new Map(manifest.actions.map((action) => [action, new Map()]));
  const leftSizes = cover(0, range.start);
  if (range.left.length === leftSizes.length) fold.pushAll(leftSizes, range.left);
  else walk.isWhole = false;
  for (const event of file.events) {
    const entry = report.guard(null, () => parseEntry(event.entry));
    if (entry === undefined) {
      walk.isWhole = false;
      walk.last = null;
      walk.place = null;
      continue;
    }
    checkPlace(entry, event, walk, range, manifest, report);
    const isControl = [ERASED, PURGED].includes(entry.action);
    if (isControl && file.end && !controls.places.has(entry.seq)) {
      report.find("control.proof", "an erasure or a purge that is shown is not among the control documents", entry.seq);
    }
    const opened = openAll(event, entry, report);
    if (opened && event.shown !== undefined && file.render(entry, opened, event) !== event.shown) {
      report.find("event.text", "what is shown of the event is not what its entry and disclosures say", entry.seq);
    }
    if (opened) account(entry, event, opened, walk, manifest, licences, report);
    walk.first ??= entry;
    walk.last = entry;
    walk.place = entry.seq + 1;
  }
  return walk;
}

/** Step 4: the entry is of this log, behind the one before, and stands where the file puts it. */
function checkPlace(entry, event, walk, range, manifest, report) {
  const { seq } = entry;
  if (entry.log !== manifest.origin) report.find("entry.origin", `the entry is of the log ${entry.log}`, seq);
  if (walk.last && entry.time < walk.last.time) report.find("entry.time", "the entry is older than the one before", seq);
  const isNext = event.skipped.length === 0;
  const prev = walk.last?.leaf ?? null;
  if (seq === 0 && entry.prev !== Buffer.alloc(32).toString("base64")) {
    report.find("entry.prev", "prev of the first entry is not 32 zero bytes", seq);
  } else if (isNext && prev && entry.prev !== prev.toString("base64")) {
    report.find("entry.prev", "the entry does not link to the one before", seq);
  }
  if (walk.place === null) return;
  const sizes = seq >= walk.place ? cover(walk.place, seq) : [];
  if (seq >= range.end || seq < walk.place || (isNext && seq !== walk.place)) {
    report.find("entry.seq", `the entry stands at ${walk.place} of [${range.start}, ${range.end})`, seq);
    walk.isWhole = false;
  } else if (sizes.length !== event.skipped.length) {
    report.find("range.root", `${event.skipped.length} hashes stand for what ${sizes.length} have to stand for`, seq);
    walk.isWhole = false;
  } else {
    walk.fold.pushAll(sizes, event.skipped);
    walk.totals.left_out += seq - walk.place;
    walk.fold.push(1, entry.leaf);
  }
}

function openAll(event, entry, report) {
  return report.guard(null, () => {
    const all = event.disclosures.map((disclosure) => open(disclosure, entry));
    if (!isAscending(all.map(({ name }) => name))) {
      throw new Flaw("disclosure.malformed", "the disclosures are not sorted, or one is there twice", entry.seq);
    }
    return new Map(all.map((one) => [one.name, one]));
  });
}

/** Each value is shown, or there is a reason that it is not. */
function account(entry, event, opened, walk, manifest, licences, report) {
  const isBefore = manifest.time_from !== null && entry.time < manifest.time_from;
  const isAfter = manifest.time_to !== null && entry.time >= manifest.time_to;
  if (isBefore || isAfter) {
    const side = isBefore ? walk.before : walk.after;
    side.push(entry);
    if (opened.size) report.find("window.edge", "an entry outside of the window is disclosed", entry.seq);
    if (side.length === 2) report.find("window.edge", "there is more than one entry on one side of the window", entry.seq);
    return;
  }
  walk.totals.events += 1;
  walk.totals.disclosed += opened.size ? 1 : 0;
  if (!walk.counts.has(entry.action)) walk.counts.set(entry.action, new Map());
  const months = walk.counts.get(entry.action);
  const month = entry.time.slice(0, "2026-01".length);
  months.set(month, (months.get(month) ?? 0) + 1);
  // A purge takes an event as a whole: where one value is left, it is not what took the others.
  const isPurged = opened.size === 0 && licences.isPurged(entry);
  for (const name of entry.sd.keys()) {
    if (opened.has(name)) {
      if (manifest.withheld.includes(name)) report.find("manifest.claim", `${name} is disclosed, and said to be withheld`, entry.seq);
    } else if (manifest.withheld.includes(name)) walk.totals.withheld += 1;
    else if (licences.isErased(entry, name)) walk.totals.erased += 1;
    else if (isPurged) walk.totals.purged += 1;
    else report.find("disclosure.missing", `${name} is not disclosed, and nothing says why`, entry.seq);
  }
}

function checkRoot(walk, file, range, checkpoint, report) {
  const { skipped } = file.end;
  const rightSizes = cover(range.end, checkpoint.size);
  const sizes = walk.place === null ? [] : cover(walk.place, range.end);
  if (walk.isWhole && sizes.length === skipped.length && rightSizes.length === range.right.length) {
    walk.fold.pushAll(sizes, skipped);
    walk.totals.left_out += range.end - walk.place;
    walk.fold.pushAll(rightSizes, range.right);
    if (walk.fold.root().equals(checkpoint.root)) return;
  }
  report.find("range.root", "the entries and hashes do not lead to the root of the checkpoint");
}

function checkEdges(walk, manifest, licences, report) {
  walk.isPruned = manifest.start > 0 && walk.before.length === 0 && manifest.start <= licences.firstPlace;
  const isShownBefore = walk.first !== null && walk.first.seq === manifest.start && walk.before[0] === walk.first;
  const isShownAfter = walk.last !== null && walk.last.seq === manifest.end - 1 && walk.after.at(-1) === walk.last;
  if (manifest.start !== 0 && manifest.start > licences.firstPlace && !isShownBefore) {
    report.find("window.edge", "nothing shows that the file begins where the window does", manifest.start);
  }
  if (manifest.end !== manifest.size && !isShownAfter) {
    report.find("window.edge", "nothing shows that the file ends where the window does", manifest.end);
  }
}

function checkEnd(walk, file, report) {
  const { manifest, end } = file;
  const months = (counts) => Object.fromEntries(counts);
  const counts = Object.fromEntries([...walk.counts].map(([action, counted]) => [action, months(counted)]));
  if (canonical(end.totals) !== canonical(parseJson(JSON.stringify({ ...walk.totals, counts })))) {
    report.find("manifest.claim", "the totals are not those of the file");
  }
  if (walk.totals.left_out && manifest.filter.size === 0) {
    report.find("manifest.claim", "entries are left out, and the manifest names no filter");
  }
  if (file.format !== "bundle" && end.head !== sha256Hex(file.head.join(""))) {
    report.find("file.digest", "manifest, proof or control are not those that the end names");
  }
}

function reportGaps(walk, report) {
  const { withheld, erased, purged, left_out: leftOut } = walk.totals;
  if (withheld) report.gap("check.withheld", `${withheld} values are withheld, and proven to exist`);
  if (erased) report.gap("check.erased", `${erased} values were erased, as the log itself says`);
  if (purged) report.gap("check.pruned", `${purged} values were pruned, as the log itself says`);
  else if (walk.isPruned) report.gap("check.pruned", "entries were pruned, as the log itself says");
  if (leftOut) report.gap("check.left_out", `${leftOut} entries are left out, and proven to exist`);
}

function checkSince(note, trusted, manifest, proof, checkpoint, report) {
  const kept = report.guard("since.signature", () => {
    const parsed = parseCheckpoint(note);
    checkSigned(parsed, trusted, manifest.origin, "since.signature");
    return parsed;
  });
  if (kept === undefined) return;
  if (kept.size > checkpoint.size) {
    throw new Flaw("since.beyond", `a note of ${kept.size} entries was given, the checkpoint is of ${checkpoint.size}`);
  }
  const rewritten = new Flaw("since.root", `the log does not extend the note of ${kept.size} entries: history was rewritten`);
  if (kept.size === checkpoint.size || kept.size === 0) {
    if (!kept.root.equals(kept.size ? checkpoint.root : sha256(""))) throw rewritten;
    return;
  }
  const path = proof.consistency.get(String(kept.size));
  if (path === undefined) {
    report.gap("check.since", `the note of ${kept.size} entries cannot be compared: the file has no proof from it`);
    return;
  }
  const hashes = path.map((hash) => Buffer.from(hash, "base64"));
  if (!isExtension(kept.size, kept.root, checkpoint.size, checkpoint.root, hashes)) throw rewritten;
}

// ---------------------------------------------------------------- command

function verifyFile({ file, keys = [], since = [] }) {
  let data;
  try {
    data = readFileSync(file);
  } catch (error) {
    return { verdict: "INCOMPLETE", findings: [{ code: "file.cut", message: error.message, seq: null }], gaps: [] };
  }
  return verify(data, keys, since);
}

function printed(report) {
  const lines = [...report.findings, ...report.gaps].map(
    ({ code, message, seq }) => `  ${code}${seq === null ? "" : ` at seq ${seq}`}: ${message}`,
  );
  return [report.verdict, ...lines].join("\n");
}

async function main(args) {
  if (args.includes("--many")) {
    for await (const line of createInterface({ input: process.stdin })) {
      if (line) console.log(JSON.stringify(verifyFile(JSON.parse(line))));
    }
    return 0;
  }
  const order = { keys: [], since: [], isJson: false };
  for (let index = 0; index < args.length; index += 1) {
    if (args[index] === "--key") order.keys.push(args[(index += 1)] ?? "");
    else if (args[index] === "--since") order.since.push(args[(index += 1)] ?? "");
    else if (args[index] === "--json") order.isJson = true;
    else if (order.file === undefined && !args[index].startsWith("-")) order.file = args[index];
    else order.isWrong = true;
  }
  if (order.isWrong || order.file === undefined || order.keys.length === 0) {
    console.error("usage: node verify.mjs FILE --key VKEY [--key VKEY ...] [--since NOTE_FILE ...] [--json] | --many");
    return 64;
  }
  const report = verifyFile({ ...order, since: order.since.map((path) => utf8(readFileSync(path), path)) });
  console.log(order.isJson ? JSON.stringify(report) : printed(report));
  return EXIT_CODES[report.verdict];
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  // Of itself Node.js ends with 1 where it fails, which is a verdict here.
  process.exitCode = await main(process.argv.slice(2)).catch((error) => {
    console.error(error);
    return 70;
  });
}
