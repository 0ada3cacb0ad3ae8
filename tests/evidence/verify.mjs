// A second verifier of evidence, from docs/evidence.md and docs/formats.md alone: Node's own modules and nothing of this project.
//
//   node verify.mjs FILE --key VKEY [--since NOTE_FILE]       prints {"verdict", "findings", "gaps"}; exit code 0 to 3
//   node verify.mjs --many                                    the same for each line {"file", "keys", "since"} of standard input

import { createHash, createPublicKey, verify as verifySignature } from "node:crypto";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { inflateRawSync } from "node:zlib";

const VERSION = "auditkit-django/evidence/1";
const FORMATS = ["bundle", "csv", "json", "jsonl"];
const FIELDS = ["actor", "changes", "context", "metadata", "on_behalf_of", "targets"];
const OWN = [
  "audit.checkpoint.sealed", "audit.event.quarantined", "audit.key.revoked", "audit.key.rotated", "audit.log.opened",
  "audit.subject.erased", "audit.events.purged",
];
const MAX_LINE = 1024 * 1024;
const EXIT = { VALID: 0, VALID_WITH_GAPS: 1, INVALID: 2, INCOMPLETE: 3 };

class Malformed extends Error {}
class Cut extends Malformed {}
const need = (holds, message) => { if (!holds) throw new Malformed(message); };

// Bytes and texts

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();
const utf8 = (bytes) => {
  try { return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes); } catch { throw new Malformed("not UTF-8"); }
};
const base64 = (text, length) => {
  const bytes = Buffer.from(text, "base64");
  need(bytes.toString("base64") === text && (length === undefined || bytes.length === length), `not base64: ${text.slice(0, 60)}`);
  return bytes;
};
const base64url = (text) => {
  const bytes = Buffer.from(text, "base64url");
  need(bytes.toString("base64url") === text, "not base64url");
  return bytes;
};
const hashes = (texts) => { need(texts.length <= 126, "too many hashes"); return texts.map((text) => base64(text, 32)); };

// Strict JSON: no name twice, no number without a finite value, no lone surrogate

const SPACE = /[ \t\n\r]*/y, NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;

function jsonAt(text, at, depth = 0) {
  need(depth < 900, "JSON is nested too deeply");
  const skip = () => { SPACE.lastIndex = at; SPACE.exec(text); at = SPACE.lastIndex; };
  const match = (pattern) => { pattern.lastIndex = at; const found = pattern.exec(text); if (found) at = pattern.lastIndex; return found; };
  const string = () => {
    const found = match(STRING);
    need(found, "JSON: no string");
    const value = JSON.parse(found[0]);
    need(value.isWellFormed(), "JSON: a lone surrogate");
    return value;
  };
  skip();
  const first = text[at];
  if (first === "{" || first === "[") {
    const isObject = first === "{", value = isObject ? new Map() : [];
    at += 1;
    skip();
    if (text[at] === (isObject ? "}" : "]")) return { value, end: at + 1 };
    for (;;) {
      let name;
      if (isObject) {
        skip();
        name = string();
        skip();
        need(text[at] === ":" && !value.has(name), "JSON: no colon, or a name twice");
        at += 1;
      }
      const item = jsonAt(text, at, depth + 1);
      at = item.end;
      if (isObject) value.set(name, item.value); else value.push(item.value);
      skip();
      const next = text[at++];
      if (next === (isObject ? "}" : "]")) return { value, end: at };
      need(next === ",", "JSON: no comma");
    }
  }
  if (first === '"') { const value = string(); return { value, end: at }; }
  for (const [word, value] of [["true", true], ["false", false], ["null", null]]) {
    if (text.startsWith(word, at)) return { value, end: at + word.length };
  }
  const number = match(NUMBER);
  need(number && Number.isFinite(Number(number[0])), "JSON: no value");
  // Whether it is written as an integer is a part of its meaning here.
  const isInteger = /^-?[0-9]+$/.test(number[0]);
  return { value: isInteger ? BigInt(number[0]) : Number(number[0]), end: at };
}

function json(text) {
  const { value, end } = jsonAt(text, 0);
  need(/^[ \t\n\r]*$/.test(text.slice(end)), "JSON: something follows");
  return value;
}

const isText = (value) => typeof value === "string";
const isInt = (value) => typeof value === "bigint";
const isList = (value) => Array.isArray(value);
const isTexts = (value) => isList(value) && value.every(isText);
const isTextOrNull = (value) => value === null || isText(value);
const isMap = (each) => (value) => value instanceof Map && [...value.values()].every(each);

function members(value, kinds, what) {
  need(value instanceof Map && value.size === Object.keys(kinds).length, `${what}: other members`);
  const found = {};
  for (const [name, isKind] of Object.entries(kinds)) {
    need(value.has(name) && isKind(value.get(name)), `${what}: ${name}`);
    found[name] = value.get(name);
  }
  return found;
}

// Documents

const isSorted = (texts) => texts.every((text, at) => at === 0 || texts[at - 1] < text);

function manifestOf(value) {
  const found = members(value, {
    v: isText, format: isText, origin: isText, epoch: isInt, start: isInt, end: isInt, size: isInt, time_from: isTextOrNull,
    time_to: isTextOrNull, withheld: isTexts, filter: isMap(isText), tenant: isText, exported_at: isText, exported_by: isText,
    export_event: isText, software: isText, signed_by: isTexts, cells: isTextOrNull, actions: isTexts,
  }, "manifest");
  need(found.v === VERSION, "manifest: another version");
  need(0n <= found.start && found.start <= found.end && found.end <= found.size, "manifest: places");
  need(FORMATS.includes(found.format) && isSorted(found.withheld) && isSorted(found.actions), "manifest: format or order");
  need(found.withheld.every((name) => FIELDS.includes(name)), "manifest: a field that is none");
  return found;
}

const rotationOf = (value) => members(value, { entry: isText, metadata: isText, proof: isText }, "rotation");
const controlOf = (value) => members(value, { d: isTexts, entry: isText, proof: isText }, "control");
const sizeOf = (text) => { need(/^(0|[1-9][0-9]{0,18})$/.test(text), "a size"); return BigInt(text); };

function proofOf(value) {
  const found = members(value, { range: isText, consistency: isMap(isTexts), rotations: isList }, "proof");
  const consistency = new Map([...found.consistency].map(([size, list]) => [sizeOf(size), hashes(list)]));
  return { range: rangeOf(found.range), consistency, rotations: found.rotations.map(rotationOf) };
}

function totalsOf(value) {
  return members(value, {
    events: isInt, left_out: isInt, disclosed: isInt, withheld: isInt, erased: isInt, purged: isInt, counts: isMap(isMap(isInt)),
  }, "totals");
}

function rangeOf(text) {
  const at = text.indexOf("\n\n");
  need(at > 0, "range proof: no empty line");
  const lines = text.slice(0, at).split("\n");
  const place = /^range (0|[1-9][0-9]{0,18}) (0|[1-9][0-9]{0,18})$/.exec(lines[1] ?? "");
  need(lines[0] === "auditkit-django/range-proof/1" && place, "range proof: another form");
  let next = 2;
  const side = (name) => {
    const count = new RegExp(`^${name} (0|[1-9][0-9]{0,18})$`).exec(lines[next++] ?? "");
    need(count && Number(count[1]) <= 126 && lines.length >= next + Number(count[1]), `range proof: ${name}`);
    next += Number(count[1]);
    return hashes(lines.slice(next - Number(count[1]), next));
  };
  const [left, right] = [side("left"), side("right")];
  need(next === lines.length, "range proof: something follows");
  return { start: BigInt(place[1]), end: BigInt(place[2]), left, right, note: text.slice(at + 2) };
}

// Signed notes and checkpoints

const DER = Buffer.from("302a300506032b6570032100", "hex");
const P = 2n ** 255n - 19n;
const SMALL = [
  0n, 1n, P - 1n,
  ...["26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"]
    .map((hex) => BigInt("0x" + Buffer.from(hex, "hex").reverse().toString("hex"))),
];

function keyOf(line) {
  const parts = /^([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/u.exec(line);
  need(parts, "verifier key: another form");
  const data = base64(parts[3], 33);
  const y = BigInt("0x" + Buffer.from(data.subarray(1)).reverse().toString("hex")) & (2n ** 255n - 1n);
  need(data[0] === 1 && y < P && !SMALL.includes(y), "verifier key: not Ed25519, or none that can be trusted");
  const id = sha256(Buffer.from(parts[1]), "\n", data).subarray(0, 4).toString("hex");
  need(id === parts[2], "verifier key: another key's id");
  const key = createPublicKey({ key: Buffer.concat([DER, data.subarray(1)]), format: "der", type: "spki" });
  return { name: parts[1], id, key, line };
}

function noteOf(text) {
  need(Buffer.byteLength(text) <= 65536 && !/[\u0000-\u0009\u000b-\u001f\u007f]/.test(text), "note: control characters");
  const at = text.lastIndexOf("\n\n");
  need(at > 0 && text.endsWith("\n"), "note: no signatures");
  const lines = text.slice(at + 2, -1).split("\n");
  need(lines.length <= 64, "note: too many signatures");
  const signatures = lines.map((line) => {
    const parts = /^— ([^\s+]+) ([A-Za-z0-9+/=]+)$/u.exec(line);
    need(parts, "note: a signature line");
    const data = base64(parts[2]);
    need(data.length > 4, "note: a signature");
    return { name: parts[1], id: data.subarray(0, 4).toString("hex"), blob: data.subarray(4) };
  });
  return { text: text.slice(0, at + 1), signatures };
}

function checkpointOf(note) {
  const [origin, size, root, ...rest] = note.text.split("\n");
  need(origin && rest.length >= 1 && rest.at(-1) === "", "checkpoint: another form");
  return { origin, size: sizeOf(size), root: base64(root ?? "", 32) };
}

// The checkpoint in a note, signed under the log's own name by one of the keys that are trusted at its size.
function opened(text, trusted, origin) {
  const note = noteOf(text), found = checkpointOf(note);
  const keys = trusted.filter((one) => one.from <= found.size && (one.to === null || found.size <= one.to)).map((one) => one.key);
  let isSigned = false;
  for (const signature of note.signatures) {
    for (const key of keys.filter((one) => one.name === signature.name && one.id === signature.id)) {
      need(signature.blob.length === 64 && verifySignature(null, Buffer.from(note.text), key.key, signature.blob), "a signature does not hold");
      isSigned ||= key.name === origin;
    }
  }
  need(found.origin === origin && isSigned, "the checkpoint is another log's, or no key that was given signed it");
  return found;
}

function inclusionOf(text) {
  const at = text.indexOf("\n\n");
  const lines = text.slice(0, Math.max(at, 0)).split("\n");
  const index = /^index (0|[1-9][0-9]{0,18})$/.exec(lines[1] ?? "");
  need(at > 0 && lines[0] === "c2sp.org/tlog-proof@v1" && index && lines.length <= 65, "tlog-proof: another form");
  return { index: BigInt(index[1]), hashes: lines.slice(2).map((line) => base64(line, 32)), note: text.slice(at + 2) };
}

// The tree of RFC 9162

const leafHash = (data) => sha256(Buffer.from([0]), data);
const nodeHash = (left, right) => sha256(Buffer.from([1]), left, right);

function checkInclusion(leaf, proof, size, root) {
  need(proof.index < size, "inclusion: beyond the tree");
  let [index, last, node] = [proof.index, size - 1n, leaf];
  for (const sibling of proof.hashes) {
    need(last > 0n, "inclusion: too long");
    if (index & 1n || index === last) {
      node = nodeHash(sibling, node);
      while (!(index & 1n) && index !== 0n) { index >>= 1n; last >>= 1n; }
    } else node = nodeHash(node, sibling);
    index >>= 1n;
    last >>= 1n;
  }
  need(last === 0n && node.equals(root), "inclusion: it leads elsewhere");
}

function checkConsistency(first, second, proof, root1, root2) {
  if (first === second) return need(proof.length === 0 && root1.equals(root2), "consistency: other roots at one size");
  need(first > 0n && first < second && proof.length > 0, "consistency: sizes");
  const path = (first & (first - 1n)) === 0n ? [root1, ...proof] : [...proof];
  let [fn, sn] = [first - 1n, second - 1n];
  while (fn & 1n) { fn >>= 1n; sn >>= 1n; }
  let [fr, sr] = [path[0], path[0]];
  for (const node of path.slice(1)) {
    need(sn !== 0n, "consistency: too long");
    if (fn & 1n || fn === sn) {
      [fr, sr] = [nodeHash(node, fr), nodeHash(node, sr)];
      while (!(fn & 1n) && fn !== 0n) { fn >>= 1n; sn >>= 1n; }
    } else sr = nodeHash(sr, node);
    fn >>= 1n;
    sn >>= 1n;
  }
  need(sn === 0n && fr.equals(root1) && sr.equals(root2), "consistency: it leads elsewhere");
}

// The levels of the complete subtrees of the compact range [start, end), left to right.
function levelsOf(start, end) {
  const levels = [];
  while (start < end) {
    let level = 0n;
    while (!((start >> level) & 1n) && start + (2n << level) <= end) level += 1n;
    levels.push(level);
    start += 1n << level;
  }
  return levels;
}

class Tree {
  constructor(left, start) {
    this.nodes = [];
    this.end = 0n;
    this.take(left, start, "left");
  }

  // A compact range [end, until): a node for each of its subtrees.
  take(given, until, what) {
    const levels = levelsOf(this.end, until);
    need(given.length === levels.length, `${what}: ${given.length} hashes, wanted ${levels.length}`);
    given.forEach((node, at) => this.push(levels[at], node));
  }

  push(level, node) {
    this.end += 1n << level;
    while (this.nodes.length && this.nodes.at(-1).level === level) {
      node = nodeHash(this.nodes.pop().node, node);
      level += 1n;
    }
    this.nodes.push({ level, node });
  }

  root() {
    if (!this.nodes.length) return sha256("");
    return this.nodes.map((one) => one.node).reduceRight((right, left) => nodeHash(left, right));
  }
}

// Entries and disclosures

const TIME = "[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\\.[0-9]{6}Z";
const DIGEST = "[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]";
const ENTRY = new RegExp(
  '^\\{"action":"((?=[a-z0-9_.]{3,96}")[a-z][a-z0-9_]*(?:\\.[a-z][a-z0-9_]*){1,5})",' + `"at":"(${TIME})",` +
  '"category":"([a-z][a-z0-9_]{0,31})","id":"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})",' +
  '"log":"([!#-*,-\\[\\]-~]{1,255})","outcome":"(success|failure|denied)",' +
  `"prev":"([A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=)","rec":"(${TIME})","sd":\\{((?:"[a-z_]+":"${DIGEST}"(?:,(?="))?)*)\\},` +
  `"seq":(0|[1-9][0-9]{0,15}),"severity":"(info|low|medium|high|critical)","time":"(${TIME})","v":"auditkit-django/entry/1"\\}$`,
);

function entryOf(text) {
  need(text.length <= 65535, "entry: too long");
  const found = ENTRY.exec(text);
  need(found, `entry: another form: ${text.slice(0, 60)}`);
  const [, action, at, category, id, log, outcome, prev, rec, pairs, seq, severity, time] = found;
  for (const moment of [at, rec, time]) {
    const day = new Date(moment.slice(0, 10) + "T00:00:00Z");
    need(!moment.startsWith("0000") && day.toISOString().slice(0, 10) === moment.slice(0, 10), "entry: a day that does not exist");
  }
  const sd = new Map(pairs ? pairs.split(",").map((pair) => JSON.parse(`[${pair.replace(":", ",")}]`)) : []);
  const names = [...sd.keys()];
  need(isSorted(names) && names.every((name) => FIELDS.includes(name)) && sd.size === (pairs ? pairs.split(",").length : 0), "entry: sd");
  need(BigInt(seq) < 2n ** 53n, "entry: seq");
  return { action, at, category, id, log, outcome, prev: base64(prev, 32), rec, sd, seq: BigInt(seq), severity, time };
}

// The JSON text of each value that is disclosed, by name.
function valuesOf(disclosures, sd) {
  const found = new Map();
  for (const one of disclosures) {
    const text = utf8(base64url(one));
    const head = /^\["[A-Za-z0-9_-]{22}","([a-z_]+)",/.exec(text);
    need(head, "disclosure: another form");
    const { end } = jsonAt(text, head[0].length);
    need(text[head[0].length] !== " " && end === text.length - 1 && text[end] === "]", "disclosure: something follows");
    need(sd.get(head[1]) === sha256(one).toString("base64url"), "disclosure: it opens no digest of the entry");
    need(![...found.keys()].some((name) => name >= head[1]), "disclosures: not sorted, or one twice");
    found.set(head[1], text.slice(head[0].length, -1));
  }
  return found;
}

function eventLine(entry, text, leaf, values, disclosures, skipped) {
  const shown = (name) => values.get(name) ?? "null";
  const list = (items) => `[${items.map((item) => `"${item}"`).join(",")}]`;
  return `{"seq":${entry.seq},"id":"${entry.id}","occurred_at":"${entry.at}","recorded_at":"${entry.rec}","action":"${entry.action}",` +
    `"category":"${entry.category}","severity":"${entry.severity}","outcome":"${entry.outcome}","actor":${shown("actor")},` +
    `"on_behalf_of":${shown("on_behalf_of")},"targets":${shown("targets")},"changes":${shown("changes")},"metadata":${shown("metadata")},` +
    `"context":${shown("context")},"leaf_hash":"${leaf.toString("hex")}","appended_at":"${entry.time}","entry":${text},` +
    `"disclosures":${list(disclosures)},"skipped":${list(skipped)}}`;
}

const COLUMNS = [
  "seq", "id", "occurred_at", "recorded_at", "action", "category", "severity", "outcome", "actor_type", "actor_id", "actor_name",
  "actor_email", "on_behalf_of", "target_type", "target_id", "target_name", "targets", "ip", "request_id", "changes", "metadata",
  "context", "leaf_hash", "appended_at", "entry", "disclosures", "skipped", "evidence",
];
const SIGNS = "=+\\-@'＝＋－＠";
const neutralised = (cell) => cell
  .replace(new RegExp(`[;\\t\\r\\n](?=[ "\\0]*[${SIGNS}])`, "gu"), "$&'")
  .replace(new RegExp(`^(?= *[${SIGNS}\\t\\r\\n\\0])`, "u"), "'");
const restored = (cell) => cell.replace(/^'/, "").replace(/([;\t\r\n])'/g, "$1");
const csvRow = (cells) => cells.map((cell) => `"${neutralised(cell).replaceAll('"', '""')}"`).join(",") + "\r\n";

function eventRow(entry, text, leaf, values, disclosures, skipped) {
  const valueOf = (name) => (values.has(name) ? json(values.get(name)) : null);
  const texts = (value, names) => names.map((name) => (value instanceof Map && isText(value.get(name)) ? value.get(name) : ""));
  const targets = valueOf("targets");
  return csvRow([
    String(entry.seq), entry.id, entry.at, entry.rec, entry.action, entry.category, entry.severity, entry.outcome,
    ...texts(valueOf("actor"), ["type", "id", "name", "email"]), values.get("on_behalf_of") ?? "",
    ...texts(isList(targets) ? targets[0] : null, ["type", "id", "name"]), values.get("targets") ?? "",
    ...texts(valueOf("context"), ["ip", "request_id"]), values.get("changes") ?? "", values.get("metadata") ?? "",
    values.get("context") ?? "", leaf.toString("hex"), entry.time, text, disclosures.join(" "), skipped.join(" "), "",
  ]);
}

// What the four forms give: { format, manifest, proof, controls, rows: [{ entry, disclosures, skipped, raw }], end, problems }

function* linesOf(bytes, name) {
  let at = 0;
  while (at < bytes.length) {
    const end = bytes.indexOf(10, at);
    need((end < 0 ? bytes.length : end + 1) - at <= MAX_LINE, `${name}: a line is too long`);
    if (end < 0) throw new Cut(`${name}: a line without its end`);
    yield utf8(bytes.subarray(at, end));
    at = end + 1;
  }
}

function documentOf(line, name) {
  const value = json(line);
  need(value instanceof Map && value.size === 1 && value.has(name), `wanted ${name}`);
  return value.get(name);
}

// jsonl, and what json and csv are turned into.
function fromLines(lines, format, rows) {
  const given = lines[Symbol.iterator](), head = createHash("sha256");
  const next = (what) => { const { value, done } = given.next(); if (done) throw new Cut(`no ${what}`); return value; };
  const headed = (name) => { const line = next(name); head.update(line + "\n"); return documentOf(line, name); };
  const manifest = manifestOf(headed("manifest")), proof = proofOf(headed("proof")), controls = [], events = [];
  let line = next("end");
  for (; line.startsWith('{"control":'); line = next("end")) {
    head.update(line + "\n");
    controls.push(controlOf(documentOf(line, "control")));
  }
  for (; line.startsWith('{"seq":'); line = next("end")) events.push(line);
  need(rows === undefined || events.length === 0, "an event among the documents");
  const end = members(documentOf(line, "end"), { head: isText, skipped: isTexts, totals: () => true }, "end");
  need(given.next().done, "something follows the end");
  const problems = head.digest("hex") === end.head ? [] : ["what stands before the events is not what the end names"];
  return {
    format, manifest, proof, controls, rows: rows ?? events.map(rowOf), problems, skipped: end.skipped, totals: totalsOf(end.totals),
  };
}

// In a line of an event the entry and what follows it come last, and have closed alphabets.
function rowOf(line) {
  const at = line.lastIndexOf(',"disclosures":['), start = line.lastIndexOf(',"entry":{', at);
  const tail = /^,"disclosures":\[([^\]]*)\],"skipped":\[([^\]]*)\]\}$/.exec(line.slice(at));
  need(at > 0 && start > 0 && tail, "event: another form");
  const list = (text) => (text ? text.slice(1, -1).split('","') : []);
  return { entry: line.slice(start + 9, at), disclosures: list(tail[1]), skipped: list(tail[2]), raw: line };
}

function* jsonLines(lines) {
  const given = lines[Symbol.iterator]();
  const next = () => { const { value, done } = given.next(); if (done) throw new Cut("no end"); return value; };
  const first = next();
  need(first.endsWith(","), "json: no comma after the manifest");
  yield first.slice(0, -1) + "}";
  const second = next();
  need(second.endsWith(","), "json: no comma after the proof");
  yield "{" + second.slice(0, -1) + "}";
  for (const [name, wrap] of [["control", (item) => `{"control":${item}}`], ["events", (item) => item]]) {
    need(next() === `"${name}":[`, `json: no list ${name}`);
    for (let line = next(); line !== "],"; ) {
      const isLast = !line.endsWith("},");
      yield wrap(isLast ? line : line.slice(0, -1));
      line = next();
      need(isLast === (line === "],"), "json: a comma");
    }
  }
  yield "{" + next();
  yield* given;
}

function fromCsv(bytes) {
  const rows = [];
  let at = 0;
  while (at < bytes.length) {
    let end = at, isOpen = false;
    for (; end < bytes.length && (isOpen || bytes[end] !== 10); end += 1) if (bytes[end] === 34) isOpen = !isOpen;
    need(end - at < MAX_LINE, "csv: a row is too long");
    if (end >= bytes.length || bytes[end - 1] !== 13) throw new Cut("csv: a row without its end");
    rows.push(utf8(bytes.subarray(at, end + 1)));
    at = end + 1;
  }
  need(rows[0] === csvRow(COLUMNS), "csv: other columns");
  const cellsOf = (row) => {
    const cells = [], pattern = /"((?:[^"]|"")*)"(,|\r\n)/y;
    for (let match; pattern.lastIndex < row.length; ) {
      need((match = pattern.exec(row)), "csv: a cell");
      cells.push(match[1].replaceAll('""', '"'));
      if (pattern.lastIndex === row.length) break;
    }
    need(cells.length === COLUMNS.length, "csv: the number of cells");
    return cells;
  };
  const isDocument = (row) => row.startsWith('"",'.repeat(COLUMNS.length - 1));
  const first = rows.findIndex(isDocument);
  if (first < 0) throw new Cut("csv: no documents after the events");
  need(rows.slice(first).every(isDocument), "csv: an event among the documents");
  const events = rows.slice(1, first).map((raw) => {
    const [entry, disclosures, skipped] = cellsOf(raw).slice(24, 27).map(restored);
    const list = (text) => (text ? text.split(" ") : []);
    return { entry, disclosures: list(disclosures), skipped: list(skipped), raw };
  });
  return fromLines(rows.slice(first).map((row) => restored(cellsOf(row).at(-1))), "csv", events);
}

const CRC = Uint32Array.from({ length: 256 }, (_, byte) => { for (let bit = 0; bit < 8; bit += 1) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1; return byte >>> 0; });
const crc32 = (bytes) => { let crc = ~0; for (const byte of bytes) crc = CRC[(crc ^ byte) & 255] ^ (crc >>> 8); return ~crc >>> 0; };

function unzipped(bytes) {
  const last = bytes.lastIndexOf(Buffer.from("PK\x05\x06"));
  if (last < 0 || bytes.length < last + 22) throw new Cut("zip: no directory");
  const count = bytes.readUInt16LE(last + 10), size = bytes.readUInt32LE(last + 12), files = new Map();
  let at = bytes.readUInt32LE(last + 16);
  if (at + size !== last) throw new Cut("zip: the directory is not where it should be");
  need(count <= 64 && last + 22 + bytes.readUInt16LE(last + 20) === bytes.length, "zip: too many files, or something follows");
  for (let number = 0; number < count; number += 1) {
    need(at + 46 <= last && bytes.readUInt32LE(at) === 0x02014b50, "zip: the directory");
    const [flags, method, crc] = [bytes.readUInt16LE(at + 8), bytes.readUInt16LE(at + 10), bytes.readUInt32LE(at + 16)];
    let [packed, unpacked, offset] = [bytes.readUInt32LE(at + 20), bytes.readUInt32LE(at + 24), bytes.readUInt32LE(at + 42)];
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((by) => bytes.readUInt16LE(at + by));
    const name = utf8(bytes.subarray(at + 46, at + 46 + nameLength));
    const isKnown = /^(manifest\.json|entries\.jsonl|disclosures\.jsonl|control\.jsonl|range\.proof|checkpoint\.note|rotations\.jsonl|report\.html|report\.pdf|VERIFY\.md|verify\.py|consistency\/(0|[1-9][0-9]{0,18})\.txt)$/.test(name);
    need(isKnown && !files.has(name), `zip: ${name}, which no bundle has, or which is there twice`);
    need(!(flags & 1) && (method === 0 || method === 8), "zip: encrypted, or packed otherwise");
    need(![packed, unpacked, offset].includes(0xffffffff), "zip: larger than this verifier reads");
    need(unpacked <= MAX_LINE || unpacked <= 1000 * Math.max(packed, 1), "zip: a bomb");
    need(bytes.readUInt32LE(offset) === 0x04034b50, "zip: a file is not where it should be");
    const start = offset + 30 + bytes.readUInt16LE(offset + 26) + bytes.readUInt16LE(offset + 28);
    need(utf8(bytes.subarray(offset + 30, offset + 30 + bytes.readUInt16LE(offset + 26))) === name, "zip: another name");
    const data = bytes.subarray(start, start + packed);
    let content;
    try { content = method === 8 ? inflateRawSync(data, { maxOutputLength: unpacked + 1 }) : data; } catch { throw new Malformed(`zip: ${name}`); }
    need(content.length === unpacked && crc32(content) === crc, `zip: ${name} is damaged`);
    files.set(name, content);
    at += 46 + nameLength + extraLength + commentLength;
  }
  return files;
}

function fromBundle(bytes) {
  const files = unzipped(bytes), problems = [];
  for (const name of ["manifest.json", "entries.jsonl", "disclosures.jsonl", "control.jsonl", "range.proof", "checkpoint.note"]) {
    need(files.has(name), `bundle: no ${name}`);
  }
  const text = (name) => utf8(files.get(name));
  const lines = (name) => { try { return [...linesOf(files.get(name), name)]; } catch (error) { throw new Malformed(error.message); } };
  const found = members(json(text("manifest.json")), { files: isMap(isText), manifest: () => true, totals: () => true }, "manifest.json");
  const names = [...files.keys()].filter((name) => name !== "manifest.json");
  need(names.length === found.files.size && names.every((name) => found.files.has(name)), "bundle: the manifest names other files");
  for (const name of names) if (sha256(files.get(name)).toString("hex") !== found.files.get(name)) problems.push(`${name} is another file`);
  const range = rangeOf(text("range.proof"));
  if (text("checkpoint.note") !== range.note) problems.push("checkpoint.note is another one");
  const consistency = new Map(names.filter((name) => name.startsWith("consistency/")).map((name) => [sizeOf(name.slice(12, -4)), hashes(lines(name))]));
  const rotations = files.has("rotations.jsonl") ? lines("rotations.jsonl").map((line) => rotationOf(json(line))) : [];
  const disclosed = lines("disclosures.jsonl").map((line) => members(json(line), { d: isTexts, seq: isInt }, "disclosures"));
  const rows = [];
  let skipped = [];
  for (const line of lines("entries.jsonl")) {
    if (line.startsWith('{"skipped":')) {
      need(skipped.length === 0, "bundle: skipped twice");
      skipped = members(json(line), { skipped: isTexts }, "skipped").skipped;
      continue;
    }
    const seq = /"seq":(0|[1-9][0-9]{0,15}),"severity":"/.exec(line);
    const isNext = seq && disclosed.length && disclosed[0].seq === BigInt(seq[1]);
    rows.push({ entry: line, disclosures: isNext ? disclosed.shift().d : [], skipped, raw: null });
    skipped = [];
  }
  need(disclosed.length === 0, "bundle: disclosures of no entry");
  return {
    format: "bundle", manifest: manifestOf(found.manifest), proof: { range, consistency, rotations },
    controls: lines("control.jsonl").map((line) => controlOf(json(line))), rows, problems, skipped, totals: totalsOf(found.totals),
  };
}

function sourceOf(bytes) {
  if (bytes.length === 0) throw new Cut("an empty file");
  if (bytes[0] === 0x50 && bytes[1] === 0x4b) return fromBundle(bytes);
  if (bytes[0] === 34) return fromCsv(bytes);
  const first = bytes.subarray(0, MAX_LINE + 1).toString("latin1").split("\n")[0];
  need(first.startsWith('{"manifest":'), "no evidence");
  return first.endsWith("},") ? fromLines(jsonLines(linesOf(bytes, "json")), "json") : fromLines(linesOf(bytes, "jsonl"), "jsonl");
}

// What the log says may be missing

class Licences {
  constructor(epoch) { Object.assign(this, { epoch, erasures: [], purges: [] }); }

  take(entry, said) {
    if (!(said instanceof Map)) return;
    if (entry.action === "audit.events.purged" && said.get("epoch") === this.epoch) {
      const [until, kind, except] = [said.get("until"), said.get("kind"), said.get("except") ?? []];
      if (isInt(until) && until > 0n && until <= entry.seq && said.has("kind") && isTextOrNull(kind) && isList(except)) {
        this.purges.push({ until, kind, except: except.map(String) });
      }
    }
    for (const part of entry.action === "audit.subject.erased" && isList(said.get("erased")) ? said.get("erased") : []) {
      if (!(part instanceof Map) || part.get("epoch") !== this.epoch || !isList(part.get("fields")) || !isText(part.get("seqs"))) continue;
      const text = part.get("seqs");
      if (!/^[0-9]{1,16}(-[0-9]{1,16})?(,[0-9]{1,16}(-[0-9]{1,16})?)*$/.test(text)) continue;
      const runs = text.split(",").map((run) => run.split("-").map(BigInt)).map(([first, last]) => [first, last ?? first]);
      if (runs.every(([first, last]) => first <= last && last < entry.seq)) this.erasures.push({ fields: part.get("fields"), runs });
    }
  }

  isErased(seq, name) {
    return this.erasures.some((one) => one.fields.includes(name) && one.runs.some(([first, last]) => first <= seq && seq <= last));
  }

  isPurged(entry) {
    return this.purges.some(({ until, kind, except }) => {
      if (entry.seq >= until) return false;
      if (kind === null) return true;
      if (OWN.includes(entry.action) || except.includes(entry.action) || except.includes(entry.category)) return false;
      return ["*", entry.action, entry.category].includes(kind);
    });
  }

  start() { return this.purges.filter((one) => one.kind === null).reduce((most, one) => (one.until > most ? one.until : most), 0n); }
}

// The keys that a pinned one leads to

function trustedOf(keys, rotations, find) {
  return keys.flatMap((pinned) => {
    const path = [{ key: pinned, from: 0n, to: null }];
    for (const rotation of rotations) {
      try {
        const old = path.at(-1), entry = entryOf(rotation.entry), values = valuesOf([rotation.metadata], entry.sd);
        const said = json(values.get("metadata") ?? "null");
        need(said instanceof Map && isText(said.get("old")) && isText(said.get("new")), "rotation: no keys");
        if (said.get("old") !== old.key.line) continue;
        need(entry.action === "audit.key.rotated" && entry.log === old.key.name, "rotation: of another log");
        const next = keyOf(said.get("new")), proof = inclusionOf(rotation.proof);
        const under = opened(proof.note, [old], entry.log);
        checkInclusion(leafHash(Buffer.from(rotation.entry)), proof, under.size, under.root);
        need(proof.index === entry.seq && next.name === entry.log && next.line !== old.key.line, "rotation: another place or key");
        opened(proof.note, [{ key: next, from: 0n, to: null }], entry.log);
        old.to = under.size;
        path.push({ key: next, from: entry.seq + 1n, to: null });
      } catch (error) {
        if (!(error instanceof Malformed)) throw error;
        find("rotation", error.message);
      }
    }
    return path;
  });
}

// Verification, step by step

function verifyBytes(bytes, keyLines, since) {
  const findings = [], gaps = [];
  const find = (code, message, seq = null) => findings.push({ code, message, seq });
  const attempt = (code, what, seq) => {
    try { return what(); } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      find(code, error.message, seq === undefined || seq === null ? null : Number(seq));
      return undefined;
    }
  };
  const report = () => {
    const isCut = findings.length > 0 && findings.every((one) => one.code === "cut");
    const verdict = isCut ? "INCOMPLETE" : findings.length ? "INVALID" : gaps.length ? "VALID_WITH_GAPS" : "VALID";
    return { verdict, findings: findings.slice(0, 100), gaps };
  };
  const keys = keyLines.map(keyOf);
  let source;
  try { source = sourceOf(bytes); } catch (error) {
    if (!(error instanceof Malformed) && !(error instanceof RangeError)) throw error;
    find(error instanceof Cut ? "cut" : "form", error.message);
    return report();
  }
  const { manifest, proof, totals } = source, { range } = proof;
  const trusted = trustedOf(keys, proof.rotations, find);
  const checkpoint = attempt("note", () => opened(range.note, trusted, manifest.origin));
  if (!checkpoint) return report();
  if (manifest.format !== source.format) find("claim", "another format");
  const signatures = noteOf(range.note).signatures.map((one) => `${one.name}+${one.id}`);
  if (range.start !== manifest.start || range.end !== manifest.end || checkpoint.size !== manifest.size || signatures.join() !== manifest.signed_by.join()) {
    find("claim", "places or signatures are not those of the checkpoint");
    return report();
  }
  const licences = new Licences(manifest.epoch);
  for (const control of source.controls) {
    attempt("control", () => {
      const entry = entryOf(control.entry), inclusion = inclusionOf(control.proof);
      need(inclusion.note === range.note && inclusion.index === entry.seq, "control: another checkpoint or place");
      need(["audit.subject.erased", "audit.events.purged"].includes(entry.action), "control: neither erasure nor purge");
      checkInclusion(leafHash(Buffer.from(control.entry)), inclusion, checkpoint.size, checkpoint.root);
      licences.take(entry, json(valuesOf(control.d, entry.sd).get("metadata") ?? "null"));
    });
  }

  const counted = { events: 0n, left_out: 0n, disclosed: 0n, withheld: 0n, erased: 0n, purged: 0n };
  const counts = new Map(manifest.actions.map((action) => [action, new Map()]));
  const tree = attempt("root", () => new Tree(range.left, range.start));
  let at = range.start, prev = at === 0n ? Buffer.alloc(32) : null, time = "", first = null, last = null;
  for (const row of source.rows) {
    const data = Buffer.from(row.entry), leaf = leafHash(data);
    const entry = attempt("entry", () => entryOf(row.entry), at);
    if (!entry) return report();
    if (row.skipped.length) {
      need(true);
      if (entry.seq <= at) find("seq", "hashes where no entry is left out", Number(at));
      else {
        attempt("root", () => tree?.take(hashes(row.skipped), entry.seq, "skipped"), entry.seq);
        counted.left_out += entry.seq - at;
        [at, prev] = [entry.seq, null];
      }
    }
    if (entry.seq !== at) { find("seq", `${entry.seq} at ${at}`, Number(at)); return report(); }
    if (prev && !entry.prev.equals(prev)) find("prev", "it does not link to the one before", Number(at));
    if (entry.log !== manifest.origin) find("origin", "another log", Number(at));
    if (entry.time < time) find("time", "older than the one before", Number(at));
    const values = attempt("disclosure", () => valuesOf(row.disclosures, entry.sd), at);
    if (values) {
      const make = source.format === "csv" ? eventRow : eventLine;
      if (row.raw !== null && make(entry, row.entry, leaf, values, row.disclosures, row.skipped) !== row.raw) find("text", "something else is shown", Number(at));
      const isInside = (manifest.time_from === null || manifest.time_from <= entry.time) && (manifest.time_to === null || entry.time < manifest.time_to);
      if (!isInside) {
        if (values.size || (at !== manifest.start && at !== manifest.end - 1n)) find("edge", "outside of the window", Number(at));
      } else {
        counted.events += 1n;
        counted.disclosed += values.size ? 1n : 0n;
        const months = counts.get(entry.action) ?? counts.set(entry.action, new Map()).get(entry.action);
        months.set(entry.time.slice(0, 7), (months.get(entry.time.slice(0, 7)) ?? 0n) + 1n);
        for (const name of entry.sd.keys()) {
          if (values.has(name)) continue;
          if (manifest.withheld.includes(name)) counted.withheld += 1n;
          else if (licences.isErased(at, name)) counted.erased += 1n;
          else if (licences.isPurged(entry)) counted.purged += 1n;
          else find("missing", name, Number(at));
        }
      }
    }
    tree?.push(0n, leaf);
    first ??= entry;
    [last, prev, time, at] = [entry, leaf, entry.time, at + 1n];
  }
  if (at < range.end && source.skipped.length) {
    attempt("root", () => tree?.take(hashes(source.skipped), range.end, "skipped"));
    counted.left_out += range.end - at;
  } else if (source.skipped.length) find("seq", "hashes after the end");
  attempt("root", () => {
    need(tree && tree.end === range.end, "not all the entries of the range");
    tree.take(range.right, checkpoint.size, "right");
    need(tree.root().equals(checkpoint.root), "another root than the one that was signed");
  });

  if (manifest.time_from !== null && range.start !== 0n && range.start !== licences.start()) {
    if (!first || first.seq !== range.start || first.time >= manifest.time_from) find("edge", "the first entry");
  }
  if (manifest.time_to !== null && range.end !== checkpoint.size) {
    if (!last || last.seq !== range.end - 1n || last.time < manifest.time_to) find("edge", "the last entry");
  }
  const plain = (map) => JSON.stringify([...map].map(([name, months]) => [name, [...months].sort().map(([month, count]) => [month, String(count)])]).sort());
  if (Object.keys(counted).some((name) => counted[name] !== totals[name]) || plain(counts) !== plain(totals.counts)) find("claim", "the totals");
  if (counted.left_out && manifest.filter.size === 0) find("claim", "entries are left out without a filter");
  for (const problem of source.problems) find("digest", problem);
  for (const name of ["left_out", "withheld", "erased", "purged"]) if (counted[name]) gaps.push({ code: name, message: String(counted[name]) });
  for (const text of since) {
    const held = attempt("since", () => opened(text, trusted, manifest.origin));
    if (!held) continue;
    if (held.size > checkpoint.size) find("since", "of more entries");
    else if (held.size > 0n && held.size < checkpoint.size && !proof.consistency.has(held.size)) gaps.push({ code: "since", message: "no proof" });
    else if (held.size > 0n) attempt("since", () => checkConsistency(held.size, checkpoint.size, proof.consistency.get(held.size) ?? [], held.root, checkpoint.root));
  }
  return report();
}

// The command

function answer({ file, keys, since = [] }) {
  try { return verifyBytes(readFileSync(file), keys, since); } catch (error) {
    return { verdict: "INCOMPLETE", findings: [{ code: "unreadable", message: String(error.message), seq: null }], gaps: [] };
  }
}

const words = process.argv.slice(2);
if (words.includes("--many")) {
  for await (const line of createInterface({ input: process.stdin })) console.log(JSON.stringify(answer(JSON.parse(line))));
} else {
  const after = (option) => words.flatMap((word, place) => (word === option ? [words[place + 1]] : []));
  const found = answer({ file: words[0], keys: after("--key"), since: after("--since").map((name) => readFileSync(name, "utf8")) });
  console.log(JSON.stringify(found, null, 1));
  process.exit(EXIT[found.verdict]);
}
