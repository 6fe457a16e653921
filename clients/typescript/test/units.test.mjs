// The parts that need no connection.

import assert from "node:assert/strict";
import { test } from "node:test";
import { address } from "../dist/address.js";
import { Backoff } from "../dist/backoff.js";
import { decodeBase64, encodeBase64 } from "../dist/base64.js";
import { readRefusal } from "../dist/closing.js";
import { parseFrame } from "../dist/frames.js";
import { connect } from "../dist/index.js";
import { checked } from "../dist/options.js";
import { Positions } from "../dist/positions.js";
import { RecentIds } from "../dist/recent.js";

class NoSocket {}

test("pauses are drawn from zero up to a ceiling that doubles to 30 seconds", () => {
  const longest = new Backoff(() => 1 - Number.EPSILON);
  const pauses = Array.from({ length: 9 }, () => longest.next());
  assert.deepEqual(pauses, [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
  longest.reset();
  assert.equal(longest.next(), 250);
  const shortest = new Backoff(() => 0);
  assert.deepEqual([shortest.next(), shortest.next()], [0, 0]);
});

test("a short pause is drawn from the first range, and leaves the next one as it was", () => {
  const longest = new Backoff(() => 1 - Number.EPSILON);
  assert.equal(longest.short(), 250);
  assert.deepEqual([longest.next(), longest.next(), longest.short(), longest.next()], [250, 500, 250, 1000]);
});

test("a refusal is read from codes that stand for a status, with a code and a message that may be cut", () => {
  assert.deepEqual(readRefusal(4403, "forbidden: no: not here\n"), { code: "forbidden", message: "no: not here\n" });
  assert.deepEqual(readRefusal(4400, "bad_request:"), { code: "bad_request", message: "" });
  assert.deepEqual(readRefusal(4599, "later: x"), { code: "later", message: "x" });
  for (const [code, reason] of [[4399, "forbidden: x"], [4600, "forbidden: x"], [1008, "forbidden: x"]]) {
    assert.equal(readRefusal(code, reason), undefined);
  }
  for (const reason of ["", '{"retry_ms":100}', ": x", "no word", "Not: a word"]) assert.equal(readRefusal(4429, reason), undefined);
});

test("base64 of all bytes and of a megabyte comes back as it was", () => {
  const all = Uint8Array.from({ length: 256 }, (_, n) => n);
  assert.equal(encodeBase64(all), Buffer.from(all).toString("base64"));
  assert.deepEqual(decodeBase64(encodeBase64(all)), all);
  const much = new Uint8Array(1 << 20).fill(0xff);
  assert.deepEqual(decodeBase64(encodeBase64(much)), much);
  assert.deepEqual(decodeBase64(encodeBase64(new Uint8Array(0))), new Uint8Array(0));
});

test("frames of an unknown type are ignored, and so are unknown fields", () => {
  assert.equal(parseFrame('{"type":"weather"}'), undefined);
  assert.equal(parseFrame('{"type":"constructor"}'), undefined);
  const frame = parseFrame('{"type":"message","id":"m","data":"x","n":3,"colour":"red"}');
  assert.deepEqual([frame.id, frame.data, frame.n], ["m", "x", 3]);
  assert.deepEqual(parseFrame('{"type":"message","id":"m","base64":"AP8="}').data, Uint8Array.of(0, 255));
});

test("a frame that lacks what the client relies on is malformed", () => {
  for (const text of [
    "",
    "[]",
    "null",
    '{"type":7}',
    '{"type":"message","data":"x"}',
    '{"type":"message","id":"m"}',
    '{"type":"message","id":"m","data":"x","n":-1}',
    '{"type":"message","id":"m","data":"x","n":1.5}',
    '{"type":"message","id":"m","base64":"not base64!"}',
    '{"type":"gap","segment":"a","from":1}',
    '{"type":"welcome","user":"u","device":"d","node":"n","session":"s"}',
    new ArrayBuffer(1),
  ]) {
    assert.throws(() => parseFrame(text), String(text));
  }
});

test("options that make no sense are refused with a sentence", () => {
  const good = { urls: "ws://a.example", token: "T", WebSocket: NoSocket };
  assert.equal(checked(good).keep, 120);
  assert.throws(() => connect({ ...good, urls: [] }), /at least one node/);
  assert.throws(() => connect({ ...good, urls: "/push" }), /is not a URL/);
  assert.throws(() => connect({ ...good, urls: "ftp://a.example" }), /ws, wss, http or https/);
  assert.throws(() => connect({ ...good, token: undefined }), /no token/);
  assert.throws(() => connect({ ...good, keep: 1.5 }), /whole seconds/);
  assert.throws(() => connect({ ...good, keep: -1 }), /whole seconds/);
});

test("without a WebSocket the error says what to pass", (t) => {
  const there = globalThis.WebSocket;
  delete globalThis.WebSocket;
  t.after(() => there && (globalThis.WebSocket = there));
  assert.throws(() => connect({ urls: "ws://a.example", token: "T" }), /pass \{ WebSocket \}.*"ws"/);
});

test("an address keeps path and query, and has what the session comes back with", () => {
  const config = (options) => checked({ urls: [], token: "T", WebSocket: NoSocket, ...options });
  const url = (text, options, back) => address(new URL(text), config({ urls: text, ...options }), options?.token, back);
  assert.equal(url("http://a.example", { user: "u 1", keep: 0 }), "ws://a.example/v1/ws?user=u+1");
  assert.equal(url("https://a.example/x/?app=2#y", { token: "a+b" }), "wss://a.example/x/v1/ws?app=2&token=a%2Bb&keep=120");
  const after = [{ segment: "b", n: 0 }, { segment: "a", n: 7 }];
  const query = new URL(url("ws://a.example:81", { token: "T" }, { resume: "R", after })).searchParams;
  assert.deepEqual([query.get("resume"), query.get("after")], ["R", "b.0,a.7"]);
});

test("at most four positions are shown, the newest first, and the current one among them at zero", () => {
  const positions = new Positions();
  for (const segment of ["c", "a", "e", "b", "d"]) positions.begin(segment, 5);
  positions.begin("f", 0);
  assert.deepEqual(positions.newest().map(({ segment, n }) => `${segment}.${n}`), ["f.0", "e.5", "d.5", "c.5"]);
});

test("of many segments the oldest are forgotten", () => {
  const positions = new Positions();
  const name = (n) => String(n).padStart(3, "0");
  for (let n = 0; n < 100; n += 1) positions.begin(name(n), 1);
  assert.equal(positions.has(name(35)), undefined);
  assert.equal(positions.has(name(36)), 1);
});

test("the last 1024 ids are known and the one before is not", () => {
  const recent = new RecentIds();
  for (let n = 0; n <= 1024; n += 1) assert.equal(recent.add(`m${n}`), true);
  assert.equal(recent.add("m1"), false);
  assert.equal(recent.add("m0"), true);
});
