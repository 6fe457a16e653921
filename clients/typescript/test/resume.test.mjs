// What a client comes back with, and what it tells of the messages that were sent meanwhile.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, startClient } from "./client.mjs";
import { startNode } from "./mock.mjs";

/** A client that is connected, and whose first attempt is looked at already. */
async function openSeen(t, options) {
  const opened = await open(t, options);
  await opened.node.attempt();
  return opened;
}

test("the first attempt names token, device and keep, and nothing to come back with", async (t) => {
  const node = await startNode(t);
  const c = startClient(t, node, { keep: 30 });
  const connection = await node.connection();
  assert.equal(connection.url.pathname, "/v1/ws");
  assert.equal(connection.protocol, "pushmesh.v1");
  assert.deepEqual(Object.fromEntries(connection.query), { token: "T", device: "phone", keep: "30" });
  assert.equal(c.client.state, "connecting");
  connection.keeps("a", { keep: 20 });
  const welcome = { user: "42", device: "phone", node: "n1", session: "7", keep: 20, resumed: "none", attributes: {} };
  assert.deepEqual(await c.next("open"), welcome);
  assert.equal(c.client.state, "open");
  await c.settled(connection);
  assert.equal(c.waiting("resumed"), 0);
});

test("the open event has the attributes of the welcome", async (t) => {
  const node = await startNode(t);
  const c = startClient(t, node);
  const connection = await node.connection();
  connection.keeps("a", { attributes: { theme: "dark", cart: { items: 3 }, sid: "s1" } });
  assert.deepEqual((await c.next("open")).attributes, { theme: "dark", cart: { items: 3 }, sid: "s1" });
  connection.drop();
  await c.comeBack();
  (await node.connection()).keeps("b", { attributes: null });
  assert.deepEqual((await c.next("open")).attributes, {});
});

test("an idle client comes back with the position before its first message", async (t) => {
  const { node, c, connection } = await openSeen(t);
  connection.drop();
  const down = await c.comeBack();
  assert.equal(down.code, 1006);
  const second = await node.connection();
  assert.deepEqual([second.query.get("resume"), second.query.get("after")], ["R1", "a.0"]);
  second.keeps("b", { resume: "R2", resumed: "complete" });
  assert.deepEqual(await c.next("resumed"), { state: "complete", missing: [] });
  second.drop();
  await c.comeBack();
  const third = await node.connection();
  assert.deepEqual([third.query.get("resume"), third.query.get("after")], ["R2", "b.0,a.0"]);
});

test("a message that was handled and not acknowledged when the connection broke is not asked for again", async (t) => {
  const { node, c, connection } = await openSeen(t);
  connection.messages(undefined, 1, 3);
  await c.texts(3);
  connection.drop();
  await c.comeBack();
  const second = await node.connection();
  assert.equal(second.query.get("after"), "a.3");
  second.keeps("b", { resumed: "complete" });
  second.messages("a", 4, 4, { ack: true });
  assert.deepEqual(await second.next(), { type: "ack", n: 4, segment: "a" });
  assert.deepEqual(await c.texts(1), ["4"]);
});

test("a message whose handler had not finished is asked for again, and handed over once", async (t) => {
  let finish;
  const message = ({ data }) => (data === "2" ? new Promise((resolve) => (finish = resolve)) : undefined);
  const { node, c, connection } = await openSeen(t, { message });
  connection.messages(undefined, 1, 3);
  await c.texts(2);
  await c.settled(connection);
  connection.drop();
  await c.comeBack();
  const second = await node.connection();
  assert.equal(second.query.get("after"), "a.1");
  second.keeps("b", { resumed: "complete" });
  second.messages("a", 2, 3);
  await c.settled(second);
  c.clock.advance(10);
  await c.silent(second);
  finish();
  assert.deepEqual(await c.texts(1), ["3"]);
  // Handlers that finish are seen by the client one turn later.
  await c.settled(second);
  c.clock.advance(10);
  assert.deepEqual(await second.next(), { type: "ack", n: 3, segment: "a" });
  assert.equal(c.waiting("message"), 0);
  assert.equal(c.waiting("violation"), 0);
});

test("a handler that finishes while the client is away is acknowledged after the return", async (t) => {
  let finish;
  const { node, c, connection } = await openSeen(t, { message: () => new Promise((resolve) => (finish = resolve)) });
  connection.messages(undefined, 1, 1);
  await c.texts(1);
  connection.drop();
  await c.comeBack();
  const second = await node.connection();
  assert.equal(second.query.get("after"), "a.0");
  finish();
  await Promise.resolve();
  second.keeps("b", { resumed: "complete" });
  assert.deepEqual(await second.next(), { type: "ack", n: 1, segment: "a" });
});

test("with more than four segments the newest four are shown, and the others acknowledged after the welcome", async (t) => {
  const { node, c, connection } = await openSeen(t);
  for (const segment of ["01", "02", "03", "04"]) connection.messages(segment, 1, 1);
  await c.texts(4);
  connection.drop();
  await c.comeBack();
  const second = await node.connection();
  assert.equal(second.query.get("after"), "a.0,04.1,03.1,02.1");
  second.keeps("b", { resumed: "complete" });
  assert.deepEqual(await second.next(), { type: "ack", n: 1, segment: "01" });
  c.clock.advance(10);
  await c.silent(second);
});

test("what is missing is told, also when it was pending", async (t) => {
  const { node, c, connection } = await openSeen(t);
  connection.drop();
  await c.comeBack();
  const second = await node.connection();
  const missing = [{ segment: "a", after: 7, why: "replicas_gone" }];
  second.keeps("b", { resumed: "partial", missing });
  assert.deepEqual(await c.next("resumed"), { state: "partial", missing });
  second.drop();
  await c.comeBack();
  const third = await node.connection();
  third.keeps("c", { resumed: "pending" });
  assert.deepEqual(await c.next("resumed"), { state: "pending", missing: [] });
  third.send({ type: "resumed", resumed: "complete" });
  assert.deepEqual(await c.next("resumed"), { state: "complete", missing: [] });
});

test("an expired session is told, and its positions are forgotten", async (t) => {
  const { node, c, connection } = await openSeen(t);
  connection.messages(undefined, 1, 2);
  await c.texts(2);
  connection.drop();
  await c.comeBack();
  const second = await node.connection();
  second.keeps("b", { resumed: "none" });
  assert.deepEqual(await c.next("resumed"), { state: "none", missing: [] });
  second.messages(undefined, 1, 1, { ack: true, id: "new" });
  assert.deepEqual(await second.next(), { type: "ack", n: 1 });
  second.drop();
  await c.comeBack();
  const third = await node.connection();
  assert.equal(third.query.get("after"), "b.1");
});

test("a return to a node that does not keep says that messages may be missing", async (t) => {
  const { node, c, connection } = await openSeen(t);
  connection.drop();
  await c.comeBack();
  const second = await node.connection();
  second.welcome({ resume: "R2" });
  assert.deepEqual(await c.next("resumed"), { state: "none", missing: [] });
  second.drop();
  await c.comeBack();
  const third = await node.connection();
  assert.deepEqual([third.query.get("resume"), third.query.get("after")], ["R2", null]);
});

test("within its keep a session is not given up because attempts fail", async (t) => {
  const { node, c, connection } = await openSeen(t);
  node.refuse(503, 503, 503, 503);
  connection.drop();
  for (let attempt = 0; attempt < 4; attempt += 1) {
    await c.comeBack();
    assert.equal((await node.attempt()).get("resume"), "R1");
  }
  await c.comeBack();
  const again = await node.connection();
  assert.equal(again.query.get("after"), "a.0");
});

test("after its keep and two failed attempts one is made without the resume token, then two with it", async (t) => {
  const { node, c, connection } = await openSeen(t);
  node.refuse(503, 503, 503, 503, 503);
  connection.drop();
  await c.next("down");
  c.clock.advance(120_000);
  const tokens = [(await node.attempt()).get("resume")];
  for (let attempt = 0; attempt < 4; attempt += 1) {
    await c.comeBack();
    const query = await node.attempt();
    tokens.push(query.get("resume"));
    assert.equal(query.has("after"), query.has("resume"));
  }
  assert.deepEqual(tokens, ["R1", "R1", null, "R1", "R1"]);
  await c.comeBack();
  const fresh = await node.connection();
  assert.equal(fresh.query.has("resume"), false);
  fresh.keeps("b", { resume: "R2" });
  assert.deepEqual(await c.next("resumed"), { state: "none", missing: [] });
});

test("a session that is not kept loses its resume token after two failed attempts", async (t) => {
  const node = await startNode(t);
  const c = startClient(t, node);
  const connection = await node.connection();
  connection.welcome();
  await c.next("open");
  await node.attempt();
  node.refuse(503, 503);
  connection.drop();
  const tokens = [];
  for (let attempt = 0; attempt < 3; attempt += 1) {
    await c.comeBack();
    tokens.push((await node.attempt()).get("resume"));
  }
  assert.deepEqual(tokens, ["R1", "R1", null]);
});

test("where the WebSocket tells that a resume token was refused, the next attempt is made without it", async (t) => {
  const { node, c, connection } = await openSeen(t);
  node.refuse(400);
  connection.drop();
  await c.comeBack();
  assert.equal((await node.attempt()).get("resume"), "R1");
  await c.comeBack();
  assert.equal((await node.attempt()).get("resume"), null);
});
