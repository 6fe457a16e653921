// What the client does when a node refuses an attempt: it completes the handshake and closes at once.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, startClient } from "./client.mjs";
import { startNode } from "./mock.mjs";

const BAD_REQUEST = [4400, "bad_request: a device is 1 to 64 bytes"];
const BAD_RESUME = [4400, "bad_resume: the resume token is of another cluster"];
const UNAUTHORIZED = [4401, "unauthorized: the token has expired"];
const FORBIDDEN = [4403, "forbidden: this origin may not connect"];
const SESSION_EXISTS = [4409, "session_exists: this device is connected"];
const TOO_MANY_SESSIONS = [4429, "too_many_sessions: the user has 100 sessions"];
const TOO_MANY_REQUESTS = [4429, "too_many_requests: wait"];

/** What an event says of an end. */
function said([code, reason]) {
  const [word, message] = reason.split(": ");
  return { code, reason, refusal: { code: word, message } };
}

/** Refuses the next attempt, and gives its query. */
async function refuse(node, [code, reason]) {
  const connection = await node.connection();
  connection.close(code, reason);
  return connection.query;
}

/** A client whose connection broke, and whose next attempt is under way. */
async function returning(t, options) {
  const opened = await open(t, options);
  opened.connection.drop();
  await opened.c.comeBack();
  return opened;
}

/** The next attempt shows no resume token, and once it is let in the page is told that its session is another one. */
async function beginsAnew(node, c) {
  const fresh = await node.connection();
  assert.equal(fresh.query.has("resume"), false);
  fresh.keeps("b");
  assert.deepEqual(await c.next("resumed"), { state: "none", missing: [] });
}

/** A storage that keeps what it is given. */
function memory(state) {
  const storage = { state, load: () => storage.state, save: (next) => (storage.state = next) };
  return storage;
}

/** Checks that a client has stopped for good. */
function stopped(c) {
  assert.equal(c.client.state, "closed");
  c.clock.advance(100_000);
  c.client.retry();
  assert.equal(c.client.state, "closed");
}

for (const end of [BAD_REQUEST, FORBIDDEN, [4400, ""], [4403, "no"]]) {
  test(`a client that is refused with ${end.join(" ").trim()} stops, and nothing stays stored`, async (t) => {
    const storage = memory({ resume: "R0", keep: 120, positions: [] });
    const node = await startNode(t);
    const c = startClient(t, node, { storage, token: async () => "T" });
    assert.equal((await refuse(node, end)).get("resume"), "R0");
    const [code, reason] = end;
    assert.deepEqual(await c.next("closed"), reason.includes(":") ? said(end) : { code, reason });
    assert.equal(storage.state, undefined);
    assert.deepEqual(c.log.map(([type]) => type), ["closed"]);
    stopped(c);
  });
}

test("a client whose resume token is bad comes back without it within 250 ms, and says that messages may be missing", async (t) => {
  const storage = memory();
  const { node, c } = await returning(t, { storage });
  assert.equal((await refuse(node, BAD_RESUME)).get("resume"), "R1");
  assert.deepEqual(await c.comeBack(), { ...said(BAD_RESUME), retryInMs: 125 });
  const fresh = await node.connection();
  assert.deepEqual([fresh.query.has("resume"), fresh.query.has("after")], [false, false]);
  fresh.keeps("b", { resume: "R2" });
  assert.deepEqual(await c.next("resumed"), { state: "none", missing: [] });
  await c.settled(fresh);
  assert.deepEqual(storage.state, { resume: "R2", keep: 120, positions: [{ segment: "b", n: 0 }] });
  fresh.drop();
  await c.comeBack();
  assert.equal((await node.connection()).query.get("resume"), "R2");
});

test("the pause after a bad resume token is short, also after many failed attempts, and makes no other one longer", async (t) => {
  const { node, c, connection } = await open(t, { random: () => 1 - Number.EPSILON });
  connection.drop();
  node.refuse(503, 503, 503);
  for (let attempt = 0; attempt < 4; attempt += 1) await c.comeBack();
  await refuse(node, BAD_RESUME);
  assert.equal((await c.comeBack()).retryInMs, 250);
  await refuse(node, [1011, ""]);
  assert.equal((await c.comeBack()).retryInMs, 4000);
});

test("a bad resume token is not shown again when the attempt without it fails", async (t) => {
  const { node, c } = await returning(t);
  await refuse(node, BAD_RESUME);
  await c.comeBack();
  for (const end of [[1006, ""], TOO_MANY_SESSIONS, [1013, '{"retry_ms":100}']]) {
    const connection = await node.connection();
    assert.equal(connection.query.has("resume"), false);
    if (end[0] === 1006) connection.drop();
    else connection.close(...end);
    await c.comeBack();
  }
  await beginsAnew(node, c);
});

test("a bad resume token that is not the client's is a fault of the program", async (t) => {
  const { node, c } = await returning(t);
  await refuse(node, BAD_RESUME);
  await c.comeBack();
  await refuse(node, BAD_RESUME);
  assert.deepEqual(await c.next("closed"), said(BAD_RESUME));
  stopped(c);
});

test("a stored resume token that is bad is given up, and the page is told", async (t) => {
  const node = await startNode(t);
  const c = startClient(t, node, { storage: memory({ resume: "R0", keep: 120, positions: [{ segment: "0", n: 3 }] }) });
  assert.equal((await refuse(node, BAD_RESUME)).get("after"), "0.3");
  await c.comeBack();
  await beginsAnew(node, c);
});

test("a refused token is replaced, with growing pauses, and after eight in a row the client stops", async (t) => {
  let calls = 0;
  const storage = memory({ resume: "R0", keep: 120, positions: [] });
  const node = await startNode(t);
  const c = startClient(t, node, { token: async () => `T${(calls += 1)}`, storage });
  const pauses = [];
  for (let attempt = 1; attempt <= 7; attempt += 1) {
    const query = await refuse(node, UNAUTHORIZED);
    assert.deepEqual([query.get("token"), query.get("resume")], [`T${attempt}`, "R0"]);
    const down = await c.comeBack();
    pauses.push(down.retryInMs);
    assert.deepEqual(down, { ...said(UNAUTHORIZED), retryInMs: down.retryInMs });
  }
  assert.deepEqual(pauses, [125, 250, 500, 1000, 2000, 4000, 8000]);
  await refuse(node, UNAUTHORIZED);
  assert.deepEqual(await c.next("closed"), said(UNAUTHORIZED));
  assert.equal(calls, 8);
  assert.equal(storage.state.resume, "R0");
  stopped(c);
});

test("refused tokens are counted from the last connection on, whatever else failed in between", async (t) => {
  const { node, c } = await returning(t, { token: async () => "T" });
  for (let attempt = 0; attempt < 7; attempt += 1) {
    await refuse(node, UNAUTHORIZED);
    await c.comeBack();
  }
  const again = await node.connection();
  again.keeps("b", { resumed: "complete" });
  await c.next("open");
  again.drop();
  await c.comeBack();
  for (let attempt = 0; attempt < 7; attempt += 1) {
    await refuse(node, UNAUTHORIZED);
    await c.comeBack();
    await refuse(node, [1011, ""]);
    await c.comeBack();
  }
  await refuse(node, UNAUTHORIZED);
  assert.equal((await c.next("closed")).code, 4401);
});

for (const options of [{ token: "T" }, { token: undefined, user: "42" }]) {
  test(`a client with a fixed ${options.token ? "token" : "user"} that is refused stops, and its state stays stored`, async (t) => {
    const storage = memory();
    const { node, c } = await returning(t, { storage, ...options });
    await refuse(node, UNAUTHORIZED);
    assert.deepEqual(await c.next("closed"), said(UNAUTHORIZED));
    stopped(c);
    assert.equal(storage.state.resume, "R1");
    const next = startClient(t, node, { storage });
    const connection = await node.connection();
    assert.deepEqual([connection.query.get("resume"), connection.query.get("after")], ["R1", "a.0"]);
    connection.keeps("b", { resumed: "complete" });
    assert.deepEqual(await next.next("resumed"), { state: "complete", missing: [] });
  });
}

test("what is handled after a token was refused is stored before the end is told, and nothing later", async (t) => {
  const storage = memory();
  let finish;
  const { node, c, connection } = await open(t, { storage, message: () => new Promise((resolve) => (finish = resolve)) });
  connection.messages(undefined, 1, 1);
  await c.texts(1);
  connection.drop();
  await c.comeBack();
  await refuse(node, UNAUTHORIZED);
  while (c.client.state !== "closed") await new Promise(setImmediate);
  assert.equal(c.waiting("closed"), 0);
  finish();
  await c.next("closed");
  assert.deepEqual(storage.state.positions, [{ segment: "a", n: 1 }]);
  storage.state = "of the next client";
  c.clock.advance(10_000);
  assert.equal(storage.state, "of the next client");
});

test("close removes the state of a client that stopped without a good token", async (t) => {
  const storage = memory();
  const { node, c } = await returning(t, { storage });
  await refuse(node, UNAUTHORIZED);
  await c.next("closed");
  c.client.close();
  assert.equal(storage.state, undefined);
  assert.equal(c.waiting("closed"), 0);
});

test("a token that expires and is then refused is replaced after pauses", async (t) => {
  let calls = 0;
  const { node, c, connection } = await open(t, { token: async () => `T${(calls += 1)}` });
  connection.close(4003, '{"retry_ms":712}');
  assert.equal((await c.comeBack()).retryInMs, 712);
  assert.equal((await refuse(node, UNAUTHORIZED)).get("token"), "T2");
  assert.equal((await c.comeBack()).retryInMs, 125);
  assert.equal((await node.connection()).query.get("token"), "T3");
});

for (const end of [SESSION_EXISTS, TOO_MANY_SESSIONS, TOO_MANY_REQUESTS, [4414, "uri_too_long: pass it as header"], [4503, "overloaded: x"]]) {
  test(`a client that is refused with ${end[1].split(":")[0]} tries again with growing pauses, and its resume token`, async (t) => {
    const { node, c } = await returning(t);
    for (const retryInMs of [250, 500, 1000, 2000]) {
      assert.equal((await refuse(node, end)).get("resume"), "R1");
      assert.deepEqual(await c.comeBack(), { ...said(end), retryInMs });
    }
    await node.connection();
  });
}

test("a refused client goes on to the next node", async (t) => {
  const nodes = [await startNode(t), await startNode(t)];
  const c = startClient(t, nodes, { random: () => 0, token: async () => "T" });
  for (const [turn, end] of [SESSION_EXISTS, TOO_MANY_REQUESTS, UNAUTHORIZED].entries()) {
    await refuse(nodes[turn % 2], end);
    await c.comeBack();
  }
  await nodes[1].connection();
});

test("a client that asked too often waits as long as the node says", async (t) => {
  const { node, c } = await returning(t);
  const [code, reason] = [4429, '{"retry_ms":2345}'];
  for (const retryInMs of [2345, 2345]) {
    await refuse(node, [code, reason]);
    assert.deepEqual(await c.comeBack(), { code, reason, retryInMs });
  }
  await refuse(node, [code, '{"retry_ms":"soon"}']);
  assert.equal((await c.comeBack()).retryInMs, 250);
});

test("a client that finds the node full waits as long as the node says", async (t) => {
  const node = await startNode(t);
  const c = startClient(t, node);
  const [code, reason] = [1013, '{"retry_ms":777}'];
  await refuse(node, [code, reason]);
  assert.deepEqual(await c.comeBack(), { code, reason, retryInMs: 777 });
  await node.connection();
});

test("a refusal that has another reason than the resume token is no reason to leave that out", async (t) => {
  const { node, c, connection } = await open(t);
  connection.drop();
  await c.next("down");
  c.clock.advance(120_000);
  for (let attempt = 0; attempt < 5; attempt += 1) {
    assert.equal((await refuse(node, attempt < 4 ? SESSION_EXISTS : [4429, '{"retry_ms":100}'])).get("resume"), "R1");
    await c.comeBack();
  }
  assert.equal((await node.connection()).query.get("resume"), "R1");
});
