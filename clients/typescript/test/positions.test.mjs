// Duplicates, gaps, jumps and segments.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "./client.mjs";

test("a message that is there already is dropped, and acknowledged again", async (t) => {
  const { c, connection } = await open(t);
  connection.messages(undefined, 1, 3, { ack: true });
  for (const n of [1, 2, 3]) assert.deepEqual(await connection.next(), { type: "ack", n });
  connection.send({ type: "message", id: "other", n: 2, data: "again" });
  await c.settled(connection);
  c.clock.advance(10);
  assert.deepEqual(await connection.next(), { type: "ack", n: 3 });
  assert.deepEqual(await c.texts(3), ["1", "2", "3"]);
  assert.equal(c.waiting("message"), 0);
});

test("a message with a known id is dropped, and its number counts", async (t) => {
  const { c, connection } = await open(t);
  connection.messages(undefined, 1, 1);
  connection.send({ type: "message", id: "current-1", n: 2, data: "repeated" });
  connection.messages(undefined, 3, 3, { ack: true });
  assert.deepEqual(await connection.next(), { type: "ack", n: 3 });
  assert.deepEqual(await c.texts(2), ["1", "3"]);
  assert.equal(c.waiting("message"), 0);
  assert.equal(c.waiting("violation"), 0);
});

test("a jump without a gap is a violation, and the message is handed over", async (t) => {
  const { c, connection } = await open(t);
  connection.messages(undefined, 1, 1);
  connection.messages(undefined, 4, 4, { ack: true });
  assert.deepEqual(await connection.next(), { type: "ack", n: 4 });
  assert.deepEqual(await c.next("violation"), { segment: "a", expected: 2, got: 4 });
  assert.deepEqual(await c.texts(2), ["1", "4"]);
  connection.send({ type: "gap", segment: "a", from: 7, to: 8, why: "expired" });
  assert.deepEqual(await c.next("violation"), { segment: "a", expected: 5, got: 7 });
});

test("of a gap only what was not there is told", async (t) => {
  const { c, connection } = await open(t);
  connection.messages(undefined, 1, 2);
  connection.send({ type: "gap", from: 1, to: 5, why: "acknowledged" });
  assert.deepEqual(await c.next("gap"), { segment: "a", from: 3, to: 5, why: "acknowledged" });
  connection.send({ type: "gap", from: 4, to: 5, why: "acknowledged" });
  await c.settled(connection);
  assert.equal(c.waiting("gap"), 0);
  assert.equal(c.waiting("violation"), 0);
});

test("older segments come before the current one, each with its own numbers", async (t) => {
  const { c, connection } = await open(t);
  connection.messages("01", 1, 2);
  connection.messages("02", 1, 1);
  connection.messages(undefined, 1, 1);
  connection.messages("02", 2, 2);
  await c.settled(connection);
  const got = c.log.filter(([type]) => type === "message").map(([, { position, late }]) => [position.segment, position.n, late]);
  assert.deepEqual(got, [["01", 1, false], ["01", 2, false], ["02", 1, false], ["a", 1, false], ["02", 2, true]]);
  assert.equal(c.waiting("violation"), 0);
});

test("the segment of the welcome is the newest one, whatever its name", async (t) => {
  const { node, c, connection } = await open(t);
  connection.messages(undefined, 1, 1);
  for (const segment of ["b", "c", "d", "e"]) connection.messages(segment, 1, 1);
  connection.messages(undefined, 2, 2);
  await c.settled(connection);
  const got = c.log.filter(([type]) => type === "message").map(([, { position, late }]) => [position.segment, position.n, late]);
  assert.deepEqual(got, [["a", 1, false], ["b", 1, true], ["c", 1, true], ["d", 1, true], ["e", 1, true], ["a", 2, false]]);
  connection.drop();
  await c.comeBack();
  assert.equal((await node.connection()).query.get("after"), "a.2,e.1,d.1,c.1");
});

test("a closed segment is acknowledged at once and no more shown", async (t) => {
  const { node, c, connection } = await open(t);
  connection.messages("01", 1, 2);
  connection.send({ type: "closed", segment: "01", n: 2 });
  assert.deepEqual(await connection.next(), { type: "ack", n: 2, segment: "01" });
  connection.drop();
  await c.comeBack();
  const second = await node.connection();
  assert.equal(second.query.get("after"), "a.0");
  // The acknowledgement may have been lost with its connection.
  second.keeps("b", { resumed: "complete" });
  await c.settled(second);
  await c.silent(second);
  second.messages("01", 2, 2);
  await c.settled(second);
  c.clock.advance(10);
  assert.deepEqual(await second.next(), { type: "ack", n: 2, segment: "01" });
  assert.deepEqual(await c.texts(2), ["1", "2"]);
  assert.equal(c.waiting("message"), 0);
});

test("a closed segment in which something comes after all is open again", async (t) => {
  const { node, c, connection } = await open(t);
  connection.messages("01", 1, 1);
  connection.send({ type: "closed", segment: "01", n: 1 });
  connection.messages("01", 2, 2);
  await c.settled(connection);
  assert.equal(c.waiting("violation"), 0);
  connection.drop();
  await c.comeBack();
  assert.equal((await node.connection()).query.get("after"), "a.0,01.2");
});

test("a segment that is closed beyond what came is a violation", async (t) => {
  const { c, connection } = await open(t);
  connection.messages("01", 1, 2);
  connection.send({ type: "closed", segment: "01", n: 4 });
  assert.deepEqual(await c.next("violation"), { segment: "01", expected: 3, got: 5 });
  connection.send({ type: "closed", segment: "00", n: 9 });
  await c.settled(connection);
  assert.equal(c.waiting("violation"), 0);
});

test("events keep their order behind a handler that takes its time", async (t) => {
  let finish;
  const { c, connection } = await open(t, { message: () => new Promise((resolve) => (finish = resolve)) });
  connection.messages(undefined, 1, 1);
  connection.send({ type: "gap", from: 2, to: 2, why: "expired" });
  connection.send({ type: "resumed", resumed: "complete" });
  await c.settled(connection);
  assert.deepEqual([c.waiting("gap"), c.waiting("resumed")], [0, 0]);
  finish();
  await c.next("resumed");
  const order = c.log.map(([type]) => type).filter((type) => type !== "error" && type !== "open");
  assert.deepEqual(order, ["message", "gap", "resumed"]);
});

test("a connection is closed when 1024 messages wait for the handlers, and nothing is lost", async (t) => {
  const { node, c, connection } = await open(t, { message: null });
  connection.messages(undefined, 1, 1025);
  assert.equal((await c.next("error")).code, "handlers_behind");
  assert.deepEqual(await connection.closed(), [4000, "the handlers are too far behind"]);
  await c.comeBack();
  const second = await node.connection();
  assert.equal(second.query.get("after"), "a.0");
  second.keeps("b", { resumed: "complete" });
  await c.next("open");
  const numbers = [];
  c.client.on("message", ({ position }) => numbers.push(position.n));
  second.messages("a", 1, 1025);
  await c.settled(second);
  assert.deepEqual(numbers, Array.from({ length: 1025 }, (_, index) => index + 1));
});

test("a frame that is not understood is reported and ignored", async (t) => {
  const { c, connection } = await open(t);
  connection.send("not json");
  connection.send({ type: "weather" });
  assert.equal((await c.next("error")).code, "bad_frame");
  connection.messages(undefined, 1, 1);
  assert.deepEqual(await c.texts(1), ["1"]);
  assert.equal(c.client.state, "open");
});

test("binary payloads go both ways", async (t) => {
  const { c, connection } = await open(t);
  connection.send({ type: "message", id: "m", n: 1, base64: "AP8=" });
  assert.deepEqual(await c.texts(1), [Uint8Array.of(0, 255)]);
  assert.equal(c.client.send(Uint8Array.of(0, 255)), true);
  assert.deepEqual(await connection.next(), { type: "message", base64: "AP8=" });
  assert.equal(c.client.send("text"), true);
  assert.deepEqual(await connection.next(), { type: "message", data: "text" });
  assert.throws(() => c.client.send({}), TypeError);
});
