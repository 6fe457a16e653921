// When the client connects again, how long it waits, and when it does not.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, startClient } from "./client.mjs";
import { startNode } from "./mock.mjs";
import { Queue } from "./wait.mjs";

/** The next connection, welcomed. */
async function reopen(node, c) {
  const connection = await node.connection();
  connection.keeps("b", { resumed: "complete" });
  await c.next("open");
  return connection;
}

test("pauses grow from attempt to attempt, and start over after a connection of five seconds", async (t) => {
  const { node, c, connection } = await open(t);
  node.refuse(503, 503);
  c.clock.advance(5_000);
  connection.close(1011, "internal error");
  assert.deepEqual(await c.comeBack(), { code: 1011, reason: "internal error", retryInMs: 125 });
  assert.equal((await c.comeBack()).retryInMs, 250);
  assert.equal((await c.comeBack()).retryInMs, 500);
  const short = await reopen(node, c);
  c.clock.advance(4_999);
  short.close(1008, "not welcome");
  assert.equal((await c.comeBack()).retryInMs, 1000);
  const long = await reopen(node, c);
  c.clock.advance(5_000);
  long.close(4004, "slow consumer");
  assert.equal((await c.comeBack()).retryInMs, 125);
});

test("the client waits exactly as long as a node that stops or is full says, and goes on to the next one", async (t) => {
  const nodes = [await startNode(t), await startNode(t), await startNode(t)];
  const c = startClient(t, nodes, { random: () => 0 });
  const first = await nodes[0].connection();
  first.keeps("a");
  await c.next("open");
  first.close(1012, '{"retry_ms":1234}');
  assert.deepEqual(await c.next("down"), { code: 1012, reason: '{"retry_ms":1234}', retryInMs: 1234 });
  c.clock.advance(1233);
  assert.equal(c.client.state, "waiting");
  c.clock.advance(1);
  assert.equal(c.client.state, "connecting");
  const second = await nodes[1].connection();
  assert.equal(second.query.get("resume"), "R1");
  second.close(1013, '{"retry_ms":777}');
  assert.equal((await c.comeBack()).retryInMs, 777);
  const third = await reopen(nodes[2], c);
  third.drop();
  await c.comeBack();
  // A connection that broke says nothing about its node.
  const again = await reopen(nodes[2], c);
  again.close(1012, "soon");
  assert.equal((await c.comeBack()).retryInMs, 0);
  await nodes[0].connection();
});

test("a failed attempt goes on to the next node", async (t) => {
  const [gone, there] = [await startNode(t), await startNode(t)];
  const { url } = gone;
  gone.stop();
  const c = startClient(t, [{ url }, there], { random: () => 0 });
  assert.equal((await c.comeBack()).code, 1006);
  const connection = await there.connection();
  connection.keeps("a");
  await c.next("open");
});

test("the first node is a random one", async (t) => {
  const nodes = [await startNode(t), await startNode(t), await startNode(t)];
  startClient(t, nodes, { random: () => 0.99 });
  await nodes[2].connection();
});

test("a token that expired is replaced after the pause that the node asks for", async (t) => {
  let calls = 0;
  const { node, c, connection } = await open(t, { token: async () => `T${(calls += 1)}` });
  assert.equal(connection.query.get("token"), "T1");
  connection.close(4003, '{"retry_ms":712}');
  assert.equal((await c.comeBack()).retryInMs, 712);
  const second = await reopen(node, c);
  assert.deepEqual([second.query.get("token"), second.query.get("resume")], ["T2", "R1"]);
});

test("a token that expires soon is replaced over the open connection", async (t) => {
  let calls = 0;
  const { c, connection } = await open(t, { token: async () => `T${(calls += 1)}` });
  connection.send({ type: "expiring", in_ms: 30_000 });
  assert.deepEqual(await connection.next(), { type: "token", token: "T2" });
  connection.send({ type: "renewed", in_ms: 600_000 });
  connection.send({ type: "error", code: "bad_token", message: "the token is of another user" });
  assert.equal((await c.next("error")).message, "bad_token: the token is of another user");
  assert.equal(c.client.state, "open");
});

test("a token that is a fixed text is not sent again, and a function that fails meanwhile is an error", async (t) => {
  const fixed = await open(t);
  fixed.connection.send({ type: "expiring", in_ms: 30_000 });
  const boom = new Error("boom");
  let calls = 0;
  const { c, connection } = await open(t, {
    token: async () => {
      if ((calls += 1) > 1) throw boom;
      return "T";
    },
  });
  connection.send({ type: "expiring", in_ms: 30_000 });
  const failure = await c.next("error");
  assert.deepEqual([failure.code, failure.cause, c.client.state], ["token_failed", boom, "open"]);
  await fixed.c.settled(fixed.connection);
  await fixed.c.silent(fixed.connection);
});

test("a token that comes when its connection has ended is not sent over the next one", async (t) => {
  const asked = new Queue();
  const node = await startNode(t);
  const c = startClient(t, node, { token: () => new Promise((answer) => asked.push(answer)) });
  (await asked.next())("T1");
  const connection = await node.connection();
  connection.keeps("a");
  await c.next("open");
  connection.send({ type: "expiring", in_ms: 30_000 });
  const late = await asked.next();
  connection.drop();
  await c.comeBack();
  (await asked.next())("T3");
  const second = await reopen(node, c);
  assert.equal(second.query.get("token"), "T3");
  late("T2");
  await c.silent(second);
});

test("a token function that fails is an error and a pause", async (t) => {
  const boom = new Error("boom");
  let calls = 0;
  const node = await startNode(t);
  const token = () => {
    calls += 1;
    if (calls === 1) throw boom;
    return calls === 2 ? Promise.reject(boom) : "T";
  };
  const c = startClient(t, node, { token });
  for (const retryInMs of [125, 250]) {
    const failure = await c.next("error");
    assert.deepEqual([failure.code, failure.cause], ["token_failed", boom]);
    assert.equal((await c.comeBack()).retryInMs, retryInMs);
  }
  await node.connection();
});

for (const [code, reason] of [[4001, "superseded"], [4002, "kicked"]]) {
  test(`a client that was ${reason} does not come back`, async (t) => {
    const { c, connection } = await open(t);
    connection.messages(undefined, 1, 1);
    connection.close(code, reason);
    assert.deepEqual(await c.next("closed"), { code, reason });
    assert.equal(c.client.state, "closed");
    assert.deepEqual(c.log.map(([type]) => type), ["open", "message", "closed"]);
    c.clock.advance(100_000);
    c.client.retry();
    assert.equal(c.client.state, "closed");
    assert.equal(c.client.send("x"), false);
  });
}

test("close acknowledges, says bye and closes with 1000", async (t) => {
  const { c, connection } = await open(t);
  connection.messages(undefined, 1, 1);
  await c.texts(1);
  c.client.close();
  assert.deepEqual(await connection.next(), { type: "ack", n: 1 });
  assert.deepEqual(await connection.next(), { type: "bye" });
  assert.deepEqual(await connection.closed(), [1000, "bye"]);
  assert.deepEqual(await c.next("closed"), { code: 1000, reason: "bye" });
  c.client.close();
  assert.equal(c.waiting("closed"), 0);
});

test("after close no handler is called, also not for what had arrived", async (t) => {
  let finish;
  const { c, connection } = await open(t, { message: () => new Promise((resolve) => (finish = resolve)) });
  connection.messages(undefined, 1, 2);
  await c.texts(1);
  await c.settled(connection);
  c.client.close();
  finish();
  await connection.closed();
  const events = c.log.map(([type]) => type).filter((type) => type !== "error");
  assert.deepEqual(events, ["open", "message", "closed"]);
});

test("a handler may close the client", async (t) => {
  const { c, connection } = await open(t, { message: () => c.client.close() });
  connection.messages(undefined, 1, 1);
  assert.deepEqual(await c.next("closed"), { code: 1000, reason: "bye" });
  assert.deepEqual(await connection.closed(), [1000, "bye"]);
});

test("a client can be closed while it waits for its token, for a socket, and for the next attempt", async (t) => {
  let give;
  const node = await startNode(t);
  const early = startClient(t, node, { token: () => new Promise((resolve) => (give = resolve)) });
  await new Promise(setImmediate);
  early.client.close();
  give("T");
  await new Promise(setImmediate);
  assert.equal(early.client.state, "closed");
  const opening = startClient(t, node, { device: "opening" });
  const connection = await node.connection();
  assert.equal(connection.query.get("device"), "opening");
  opening.client.close();
  await connection.closed();
  node.refuse(503);
  const waiting = startClient(t, node);
  await waiting.next("down");
  waiting.client.close();
  waiting.clock.advance(100_000);
  assert.equal(waiting.client.state, "closed");
});

test("retry ends a pause, and does nothing otherwise", async (t) => {
  const { node, c, connection } = await open(t);
  c.client.retry();
  assert.equal(c.client.state, "open");
  connection.drop();
  await c.next("down");
  c.client.retry();
  c.client.retry();
  await reopen(node, c);
  c.clock.advance(1000);
  assert.equal(c.client.state, "open");
});

test("send is refused without an open connection, and where much waits in the socket", async (t) => {
  let buffered = 0;
  const { WebSocket } = await import("ws");
  class Slow extends WebSocket {
    get bufferedAmount() {
      return buffered;
    }
  }
  const node = await startNode(t);
  const c = startClient(t, node, { WebSocket: Slow });
  assert.equal(c.client.send("early"), false);
  const connection = await node.connection();
  connection.keeps("a");
  await c.next("open");
  buffered = (1 << 20) + 1;
  assert.equal(c.client.send("too much"), false);
  buffered -= 1;
  assert.equal(c.client.send("enough"), true);
  assert.equal((await connection.next()).data, "enough");
  connection.drop();
  await c.next("down");
  assert.equal(c.client.send("late"), false);
});

test("a client pings after 60 s of silence, and gives the connection up 10 s later", async (t) => {
  const { node, c, connection } = await open(t);
  c.clock.advance(59_000);
  connection.send({ type: "pong" });
  await c.settled(connection);
  c.clock.advance(59_999);
  await c.silent(connection);
  c.clock.advance(1);
  assert.deepEqual(await connection.next(), { type: "ping" });
  connection.send({ type: "pong" });
  await c.settled(connection);
  c.clock.advance(60_000);
  assert.deepEqual(await connection.next(), { type: "ping" });
  assert.equal(c.client.state, "open");
  c.clock.advance(10_000);
  assert.deepEqual(await c.comeBack(), { code: 1006, reason: "no answer to a ping", retryInMs: 125 });
  assert.deepEqual(await connection.closed(), [4000, "no answer to a ping"]);
  assert.equal((await node.connection()).query.get("resume"), "R1");
});

test("an attempt is given up without a welcome within 10 s, or with another first frame", async (t) => {
  const node = await startNode(t);
  const c = startClient(t, node);
  const silent = await node.connection();
  c.clock.advance(10_000);
  assert.equal((await c.comeBack()).reason, "no welcome");
  await silent.closed();
  const strange = await node.connection();
  strange.messages("a", 1, 1);
  assert.match((await c.comeBack()).reason, /is this a pushmesh node/);
  await node.connection();
  assert.equal(c.waiting("message"), 0);
});

test("what a connection that was given up says later is ignored", async (t) => {
  const { node, c, connection } = await open(t);
  c.clock.advance(70_000);
  await c.comeBack();
  connection.messages(undefined, 1, 1);
  connection.close(4001, "superseded");
  const second = await reopen(node, c);
  await c.settled(second);
  assert.equal(c.client.state, "open");
  assert.equal(c.waiting("message"), 0);
});

test("a WebSocket that cannot be made is an error and a pause", async (t) => {
  class Broken {
    constructor() {
      throw new Error("insecure");
    }
  }
  const c = startClient(t, { url: "ws://a.example" }, { WebSocket: Broken });
  assert.equal((await c.next("error")).code, "not_opened");
  assert.equal((await c.next("down")).retryInMs, 125);
});

test("the client works with the WebSocket of the platform where there is one", async (t) => {
  if (globalThis.WebSocket === undefined) return t.diagnostic("this Node has none");
  const { c, connection } = await open(t, { WebSocket: globalThis.WebSocket });
  connection.messages(undefined, 1, 1, { ack: true });
  assert.deepEqual(await connection.next(), { type: "ack", n: 1 });
  connection.close(4001, "superseded");
  assert.equal((await c.next("closed")).code, 4001);
});
