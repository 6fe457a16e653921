// What outlives a page.

import assert from "node:assert/strict";
import { test } from "node:test";
import { sessionStorageState } from "../dist/index.js";
import { open, startClient } from "./client.mjs";
import { startNode } from "./mock.mjs";

/** A storage that remembers what was saved. */
function memory(state) {
  const saves = [];
  return { saves, load: () => state, save: (next) => saves.push((state = next)) };
}

test("a page that is loaded again comes back with what it had handled", async (t) => {
  const storage = memory();
  const { node, c, connection } = await open(t, { storage });
  connection.messages(undefined, 1, 2, { ack: true });
  await connection.next();
  await connection.next();
  connection.drop();
  await c.next("down");
  const state = storage.saves.at(-1);
  assert.deepEqual(state, { resume: "R1", keep: 120, positions: [{ segment: "a", n: 2 }] });

  const reloaded = startClient(t, node, { storage: { load: async () => state, save: () => undefined } });
  const second = await node.connection();
  assert.deepEqual([second.query.get("resume"), second.query.get("after")], ["R1", "a.2"]);
  second.keeps("b", { resumed: "complete" });
  assert.deepEqual(await reloaded.next("resumed"), { state: "complete", missing: [] });
  second.messages("a", 2, 3, { ack: true });
  assert.deepEqual(await reloaded.texts(1), ["3"]);
});

test("the state is saved before it is acknowledged, and without what is not handled", async (t) => {
  const storage = memory();
  const order = [];
  const { WebSocket } = await import("ws");
  class Recorded extends WebSocket {
    send(text) {
      order.push(JSON.parse(text));
      super.send(text);
    }
  }
  const save = (state) => order.push(state);
  const message = ({ data }) => (data === "2" ? new Promise(() => undefined) : undefined);
  const { c, connection } = await open(t, { storage: { ...storage, save }, WebSocket: Recorded, message });
  connection.messages(undefined, 1, 2);
  await c.settled(connection);
  c.clock.advance(10);
  await connection.next();
  const at = (n) => ({ resume: "R1", keep: 120, positions: [{ segment: "a", n }] });
  assert.deepEqual(order, [at(0), at(1), { type: "ack", n: 1 }]);
});

test("a closed segment is not stored any more", async (t) => {
  const storage = memory();
  const { c, connection } = await open(t, { storage });
  connection.messages("01", 1, 1);
  connection.send({ type: "closed", segment: "01", n: 1 });
  await c.settled(connection);
  assert.deepEqual(storage.saves.at(-1).positions, [{ segment: "a", n: 0 }]);
});

test("the state is removed when the session is over", async (t) => {
  for (const end of [(c) => c.client.close(), (_, connection) => connection.close(4001, "superseded")]) {
    const storage = memory();
    const { c, connection } = await open(t, { storage });
    await c.settled(connection);
    end(c, connection);
    await c.next("closed");
    assert.notEqual(storage.saves[0], undefined);
    assert.equal(storage.saves.at(-1), undefined);
  }
});

test("a storage that fails is reported, once until it works again, and the client goes on", async (t) => {
  let broken = true;
  const boom = new Error("quota");
  const storage = {
    load: () => Promise.reject(boom),
    save: () => {
      if (broken) throw boom;
    },
  };
  const { c, connection } = await open(t, { storage });
  assert.deepEqual(await c.next("error"), { code: "storage_failed", message: "the stored state could not be loaded", cause: boom });
  assert.equal((await c.next("error")).message, "the state could not be saved");
  connection.messages(undefined, 1, 1, { ack: true });
  assert.deepEqual(await connection.next(), { type: "ack", n: 1 });
  assert.equal(c.waiting("error"), 0);
  broken = false;
  connection.messages(undefined, 2, 2, { ack: true });
  await connection.next();
  broken = true;
  connection.messages(undefined, 3, 3, { ack: true });
  assert.deepEqual(await connection.next(), { type: "ack", n: 3 });
  assert.equal(c.waiting("error"), 1);
});

test("a storage that throws at once is reported to the handlers that are added after the start", async (t) => {
  const node = await startNode(t);
  const load = () => JSON.parse("{");
  const c = startClient(t, node, { storage: { load, save: () => undefined } });
  assert.equal((await c.next("error")).code, "storage_failed");
  await node.connection();
});

test("what is not a state is reported and not used", async (t) => {
  for (const state of ["text", { resume: 7 }, { resume: "R", keep: 1, positions: [{ segment: "a" }] }, { resume: "R", keep: 1, positions: [null] }]) {
    const node = await startNode(t);
    const c = startClient(t, node, { storage: memory(state) });
    assert.equal((await c.next("error")).code, "storage_failed");
    assert.equal((await node.connection()).query.has("resume"), false);
  }
});

test("the sessionStorage of a browser keeps a state under its key", (t) => {
  const items = new Map();
  const there = globalThis.sessionStorage;
  globalThis.sessionStorage = {
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, text) => items.set(key, text),
    removeItem: (key) => items.delete(key),
  };
  t.after(() => (globalThis.sessionStorage = there));
  const storage = sessionStorageState("pushmesh:42");
  assert.equal(storage.load(), undefined);
  const state = { resume: "R", keep: 120, positions: [{ segment: "a", n: 1 }] };
  storage.save(state);
  assert.deepEqual([...items.keys()], ["pushmesh:42"]);
  assert.deepEqual(storage.load(), state);
  storage.save(undefined);
  assert.equal(items.size, 0);
});
