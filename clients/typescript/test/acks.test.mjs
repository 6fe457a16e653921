// When the client acknowledges, and what.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, startClient } from "./client.mjs";
import { startNode } from "./mock.mjs";

test("messages are acknowledged together 10 ms after the first one", async (t) => {
  const { c, connection } = await open(t);
  connection.messages(undefined, 1, 1);
  await c.texts(1);
  c.clock.advance(9);
  connection.messages(undefined, 2, 3);
  assert.deepEqual(await c.texts(2), ["2", "3"]);
  await c.silent(connection);
  c.clock.advance(1);
  assert.deepEqual(await connection.next(), { type: "ack", n: 3 });
  c.clock.advance(1000);
  await c.silent(connection);
});

test("the 16th message is acknowledged without waiting", async (t) => {
  const { c, connection } = await open(t);
  connection.messages(undefined, 1, 15);
  await c.texts(15);
  await c.silent(connection);
  connection.messages(undefined, 16, 16);
  assert.deepEqual(await connection.next(), { type: "ack", n: 16 });
  connection.messages(undefined, 17, 17);
  await c.texts(2);
  await c.silent(connection);
  c.clock.advance(10);
  assert.deepEqual(await connection.next(), { type: "ack", n: 17 });
});

test("a message whose publisher waits is acknowledged at once, with all before it", async (t) => {
  const { c, connection } = await open(t);
  connection.messages(undefined, 1, 2);
  connection.messages(undefined, 3, 3, { ack: true });
  assert.deepEqual(await connection.next(), { type: "ack", n: 3 });
  c.clock.advance(1000);
  await c.silent(connection);
});

test("a message is acknowledged after the promise of its handler, and the next one waits for that", async (t) => {
  const finish = [];
  const { c, connection } = await open(t, { message: () => new Promise((resolve) => finish.push(resolve)) });
  connection.messages(undefined, 1, 2, { ack: true });
  await c.settled(connection);
  await c.silent(connection);
  assert.equal(c.waiting("message"), 1);
  finish[0]();
  assert.deepEqual(await connection.next(), { type: "ack", n: 1 });
  assert.deepEqual(await c.texts(2), ["1", "2"]);
  await c.silent(connection);
  finish[1]();
  assert.deepEqual(await connection.next(), { type: "ack", n: 2 });
});

test("a handler that throws or rejects is reported, and its message acknowledged", async (t) => {
  const boom = new Error("boom");
  const message = ({ data }) => {
    if (data === "1") throw boom;
    return Promise.reject(boom);
  };
  const { c, connection } = await open(t, { message });
  connection.messages(undefined, 1, 2, { ack: true });
  assert.deepEqual(await connection.next(), { type: "ack", n: 1 });
  assert.deepEqual(await connection.next(), { type: "ack", n: 2 });
  for (let n = 0; n < 2; n += 1) {
    const failure = await c.next("error");
    assert.deepEqual([failure.code, failure.cause], ["handler_failed", boom]);
  }
});

test("without a handler messages wait, and are acknowledged when one has come", async (t) => {
  const { c, connection } = await open(t, { message: null });
  connection.messages(undefined, 1, 2, { ack: true });
  await c.settled(connection);
  await c.silent(connection);
  const texts = [];
  const off = c.client.on("message", ({ data }) => {
    texts.push(data);
    if (data === "1") off();
  });
  assert.deepEqual(await connection.next(), { type: "ack", n: 1 });
  await c.silent(connection);
  c.client.on("message", ({ data }) => texts.push(data));
  assert.deepEqual(await connection.next(), { type: "ack", n: 2 });
  assert.deepEqual(texts, ["1", "2"]);
});

test("a gap is acknowledged", async (t) => {
  const { c, connection } = await open(t);
  connection.messages(undefined, 1, 1);
  connection.send({ type: "gap", segment: "a", from: 2, to: 4, why: "expired" });
  assert.deepEqual(await c.next("gap"), { segment: "a", from: 2, to: 4, why: "expired" });
  c.clock.advance(10);
  assert.deepEqual(await connection.next(), { type: "ack", n: 4 });
  connection.messages(undefined, 5, 5, { ack: true });
  assert.deepEqual(await connection.next(), { type: "ack", n: 5 });
  assert.equal(c.waiting("violation"), 0);
});

test("an older segment is acknowledged by its name, before the current one", async (t) => {
  const { c, connection } = await open(t);
  connection.messages("0", 1, 2);
  connection.messages(undefined, 1, 1);
  await c.texts(3);
  c.clock.advance(10);
  assert.deepEqual(await connection.next(), { type: "ack", n: 2, segment: "0" });
  assert.deepEqual(await connection.next(), { type: "ack", n: 1 });
});

test("a session that is not kept is not acknowledged, and its messages are known by their ids", async (t) => {
  const node = await startNode(t);
  const c = startClient(t, node);
  const connection = await node.connection();
  connection.welcome();
  const welcome = await c.next("open");
  assert.deepEqual([welcome.keep, welcome.resumed], [0, "none"]);
  for (const id of ["x", "y", "x"]) connection.send({ type: "message", id, data: id, ack: true });
  await c.settled(connection);
  assert.deepEqual(await c.texts(2), ["x", "y"]);
  assert.equal(c.waiting("message"), 0);
  c.clock.advance(5000);
  await c.silent(connection);
});
