// What a page sees of refused attempts: a WebSocket of its own the close code, and the client what it makes of that.
// The nodes are scripted ones, or real ones where PUSHMESH names the binary.

import assert from "node:assert/strict";
import { startNode } from "./mock.mjs";
import { Node } from "./nodes.mjs";
import { within } from "./wait.mjs";

/** A page that can make attempts. */
export const REFUSALS_PAGE = `<!doctype html><meta charset="utf-8"><title>refused</title>
<script type="module">
  import { connect } from "/dist/index.js";
  const held = [];

  // The welcome of a session that stays.
  window.hold = (url) => new Promise((resolve, reject) => {
    const socket = new WebSocket(url, "pushmesh.v1");
    held.push(socket);
    socket.onmessage = ({ data }) => resolve(JSON.parse(data));
    socket.onclose = ({ code, reason }) => reject(new Error(\`the session that is to stay: \${code} \${reason}\`));
  });

  // The end of one attempt, and what came before it.
  window.attempt = (url, protocols) => new Promise((resolve) => {
    const socket = new WebSocket(url, protocols);
    let [opened, frames] = [false, 0];
    socket.onopen = () => (opened = true);
    socket.onmessage = () => (frames += 1);
    socket.onclose = ({ code, reason }) => resolve({ opened, frames, code, reason });
  });

  // The events of a client up to the first one of that type. It is closed then.
  window.client = (options, state, type) => new Promise((resolve) => {
    const events = [];
    const storage = { load: () => state, save: () => undefined };
    const client = connect({ ...options, storage });
    client.on("message", () => undefined);
    for (const each of ["open", "down", "resumed", "error", "closed"]) {
      client.on(each, (event) => {
        events.push([each, event]);
        if (each !== type) return;
        resolve({ events: [...events], state: client.state });
        client.close();
      });
    }
  });
  window.ready = true;
</script>`;

/** One node that answers the next attempts as it is told. */
async function scripted() {
  const node = await startNode();
  return {
    urls: { one: node.url, origins: node.url, full: node.url },
    /** An end for an attempt that is refused, `undefined` for a welcome. */
    async answer(...ends) {
      for (const end of ends) {
        const connection = await node.connection();
        if (end === undefined) connection.keeps("a");
        else connection.close(...end);
      }
    },
    refuse: (status) => node.refuse(status),
    stop: () => node.stop(),
  };
}

/** Three real nodes, each a cluster of its own, which refuse for different reasons. */
async function real() {
  const nodes = {};
  for (const [name, flags] of [
    ["one", ["--takeover", "reject-newer", "--max-sessions-per-user", "1"]],
    ["origins", ["--origin", "https://app.example"]],
    ["full", ["--max-connections", "1"]],
  ]) {
    const node = new Node(`refusals-${process.pid}-${name}`, "n1", flags);
    process.on("exit", () => node.kill());
    await node.start();
    nodes[name] = node;
  }
  const nothing = async () => undefined;
  return {
    urls: Object.fromEntries(Object.entries(nodes).map(([name, node]) => [name, node.url.replace("http", "ws")])),
    answer: nothing,
    refuse: nothing,
    async stop() {
      for (const node of Object.values(nodes)) await node.stop();
    },
  };
}

/** All refusals: what is asked for, how it is refused, and with which event the client tells it. */
function cases(phone) {
  return [
    { what: "a device that is too long", asks: { user: "42", device: "x".repeat(65) }, ends: [4400, "bad_request"], tells: "closed" },
    { what: "a resume token that no node made", asks: { user: "43", device: "phone", resume: "AAAA" }, ends: [4400, "bad_resume"], tells: "resumed" },
    { what: "a token that no node knows", asks: { token: "a.b.c" }, ends: [4401, "unauthorized"], tells: "closed" },
    { what: "an origin that is not listed", at: "origins", asks: { user: "42" }, ends: [4403, "forbidden"], tells: "closed" },
    { what: "the resume token of another device", asks: { user: "42", device: "tablet", resume: phone.resume }, ends: [4403, "forbidden"], tells: "closed" },
    { what: "a device that is connected", asks: { user: "42", device: "phone" }, ends: [4409, "session_exists"], tells: "down" },
    { what: "a second device where one is allowed", asks: { user: "42", device: "tablet" }, ends: [4429, "too_many_sessions"], tells: "down" },
    { what: "a node that is full", at: "full", asks: { user: "43" }, ends: [1013], tells: "down" },
  ];
}

/** Checks what a page sees of each refusal. */
export async function refusals(page) {
  const nodes = await (process.env.PUSHMESH ? real() : scripted());
  const url = (at, asks) => `${nodes.urls[at]}/v1/ws?${new URLSearchParams(asks)}`;
  const attempt = (to, protocols) => within("the end of an attempt", page.evaluate(([u, p]) => window.attempt(u, p), [to, protocols]));
  const hold = async (at, asks) => {
    const [welcome] = await within("a session that stays", Promise.all([page.evaluate((u) => window.hold(u), url(at, asks)), nodes.answer(undefined)]));
    assert.equal(welcome.type, "welcome");
    return welcome;
  };

  await page.waitForFunction(() => window.ready);
  const phone = await hold("one", { user: "42", device: "phone" });
  await hold("full", { user: "42" });
  for (const { what, at = "one", asks, ends: [code, word], tells } of cases(phone)) {
    const end = [code, word === undefined ? '{"retry_ms":1234}' : `${word}: ${what}`];
    const says = ({ code: saidCode, reason }) => {
      assert.equal(saidCode, code, `${what}: ${reason}`);
      if (word !== undefined) assert.ok(reason.startsWith(`${word}: `), `${what}: ${reason}`);
      else assert.ok(JSON.parse(reason).retry_ms >= 100, `${what}: ${reason}`);
    };

    const [seen] = await Promise.all([attempt(url(at, asks), "pushmesh.v1"), nodes.answer(end)]);
    says(seen);
    assert.deepEqual([seen.opened, seen.frames], [true, 0], what);

    const { resume, ...options } = asks;
    const state = resume && { resume, keep: 120, positions: [] };
    const client = page.evaluate((all) => window.client(...all), [{ ...options, urls: nodes.urls[at] }, state, tells]);
    // After a bad resume token the client comes back without it.
    const [{ events, state: ended }] = await within(
      `the client tells ${tells} after ${what}`,
      Promise.all([client, nodes.answer(...(tells === "resumed" ? [end, undefined] : [end]))]),
    );
    const [[type, first], ...rest] = events;
    assert.equal(type, tells === "closed" ? "closed" : "down", what);
    says(first);
    assert.equal(first.refusal?.code, word, what);
    assert.equal(ended, { closed: "closed", down: "waiting", resumed: "open" }[tells], what);
    assert.deepEqual(rest.map(([each]) => each), tells === "resumed" ? ["open", "resumed"] : [], what);
    if (tells === "resumed") assert.equal(rest[1][1].state, "none", what);
    if (word === undefined) assert.equal(first.retryInMs, JSON.parse(first.reason).retry_ms, what);
    console.log(`refused: ${what}: ${seen.code} ${seen.reason}`);
  }

  // A client without the subprotocol asks for the close code, and one with it may ask for the status.
  const wrong = { user: "42", device: "x".repeat(65) };
  const [plain] = await Promise.all([attempt(url("one", { ...wrong, errors: "close" }), []), nodes.answer([4400, "bad_request: x"])]);
  assert.deepEqual([plain.opened, plain.frames, plain.code, plain.reason.split(":")[0]], [true, 0, 4400, "bad_request"]);
  for (const [asks, protocols] of [[wrong, []], [{ ...wrong, errors: "status" }, "pushmesh.v1"]]) {
    nodes.refuse(400);
    const { opened, code } = await attempt(url("one", asks), protocols);
    assert.deepEqual([opened, code], [false, 1006], "a page cannot read a status");
  }
  await nodes.stop();
}
