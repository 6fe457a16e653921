// The client in a page of a headless Chromium: its connection breaks, it comes back, and the page is loaded again. Then
// what a page sees when it is refused.
// Against a scripted node, or against a real one where PUSHMESH names the binary.
//
//   node test/browser.mjs                  CHROMIUM is the browser's path (/usr/bin/chromium)

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { connect as dial, createServer as createTcpServer } from "node:net";
import { chromium } from "playwright-core";
import { startNode } from "./mock.mjs";
import { Node } from "./nodes.mjs";
import { REFUSALS_PAGE, refusals } from "./refusals.mjs";
import { eventually } from "./wait.mjs";

const PAGE = `<!doctype html><meta charset="utf-8"><title>pushmesh-client</title>
<script type="module">
  import { connect, sessionStorageState } from "/dist/index.js";
  const query = new URLSearchParams(location.search);
  window.seen = { open: [], down: [], resumed: [], message: [], gap: [], violation: [], error: [], closed: [] };
  window.client = connect({ urls: query.get("node"), user: "42", keep: 60, storage: sessionStorageState("pushmesh:42") });
  for (const type in seen) client.on(type, (event) => void seen[type].push(event));
</script>`;

const PAGES = { "/": PAGE, "/refused": REFUSALS_PAGE };

/** A web server on loopback with the pages and the client. */
async function servePages() {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://page");
    if (Object.hasOwn(PAGES, pathname)) return response.setHeader("Content-Type", "text/html").end(PAGES[pathname]);
    if (!/^\/dist\/[a-z0-9]+\.js$/.test(pathname)) return response.writeHead(404).end();
    const script = await readFile(new URL(`..${pathname}`, import.meta.url));
    response.setHeader("Content-Type", "text/javascript").end(script);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

/** A way to a node that can be cut. */
async function gateTo(port) {
  const sockets = new Set();
  let shut = false;
  const server = createTcpServer((inner) => {
    if (shut) return inner.destroy();
    const outer = dial(port, "127.0.0.1");
    for (const [socket, other] of [[inner, outer], [outer, inner]]) {
      sockets.add(socket);
      socket.on("error", () => undefined).on("close", () => other.destroy());
      socket.pipe(other);
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    /** Breaks all connections, and all new ones until it is opened. */
    cut() {
      shut = true;
      for (const socket of sockets) socket.destroy();
      sockets.clear();
    },
    open: () => (shut = false),
  };
}

/** The scripted side: what a node that keeps does in this test, step by step. */
async function scripted() {
  const node = await startNode();
  let connection;
  const welcomed = async (segment, after, resumed) => {
    connection = await node.connection();
    assert.equal(connection.query.get("after"), after);
    assert.equal(connection.query.get("resume"), after && "R1");
    connection.keeps(segment, { resumed, keep: 60 });
  };
  return {
    port: node.server.address().port,
    begin: () => welcomed("a", null, "none"),
    push: async (from, to) => connection.messages(undefined, from, to),
    acknowledged: async () => assert.deepEqual(await connection.next(), { type: "ack", n: 3 }),
    pushAway: async () => undefined,
    async comeBack() {
      await welcomed("b", "a.3", "complete");
      connection.messages("a", 4, 6);
      connection.send({ type: "closed", segment: "a", n: 6 });
      assert.deepEqual(await connection.next(), { type: "ack", n: 6, segment: "a" });
    },
    async pageGone() {
      assert.equal((await connection.closed())[0], 1001, "a page that goes away is away, and says no bye");
    },
    async pageBack() {
      await welcomed("c", "b.0", "complete");
      for (let n = 7; n <= 9; n += 1) connection.send({ type: "message", id: `b-${n}`, n: n - 6, segment: "b", data: `${n}` });
    },
    end: async () => {
      const frames = [];
      while (frames.at(-1)?.type !== "bye") frames.push(await connection.next());
      assert.deepEqual(await connection.closed(), [1000, "bye"]);
      node.stop();
    },
  };
}

/** The same steps with a real node. */
async function real() {
  const node = new Node(`browser-${process.pid}`, "n1");
  process.on("exit", () => node.kill());
  await node.start();
  const push = async (from, to, good) => {
    for (let n = from; n <= to; n += 1) {
      await eventually(`push ${n} is taken`, async () => {
        const { status, outcome } = await node.push("42", `m${n}`, `${n}`);
        return status === 200 && good.includes(outcome);
      });
    }
  };
  const nothing = async () => undefined;
  const online = ["acked", "delivered", "buffered"];
  const away = ["queued", ...online];
  return {
    port: Number(node.http.split(":")[1]),
    begin: nothing,
    push: (from, to) => push(from, to, online),
    acknowledged: nothing,
    pushAway: (from, to) => push(from, to, away),
    comeBack: nothing,
    pageGone: nothing,
    pageBack: nothing,
    end: () => node.stop(),
  };
}

async function main() {
  const node = await (process.env.PUSHMESH ? real() : scripted());
  const gate = await gateTo(node.port);
  const pages = await servePages();
  const address = `http://127.0.0.1:${pages.address().port}/?node=${encodeURIComponent(gate.url)}`;
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  try {
    console.log(`Chromium ${browser.version()}`);
    const page = await browser.newPage();
    page.on("pageerror", (error) => console.error("the page:", error));
    const seen = () => page.evaluate(() => window.seen);
    const texts = async () => (await seen()).message.map(({ data }) => data);
    const has = (what, condition) => eventually(what, async () => condition(await seen()), 20_000);

    await page.goto(address);
    await node.begin();
    await has("the page is connected", ({ open }) => open.length === 1);
    assert.equal((await seen()).open[0].keep, 60, "the node keeps the session");
    await node.push(1, 3);
    await has("three messages", ({ message }) => message.length === 3);
    await node.acknowledged();

    gate.cut();
    await has("the connection broke", ({ down }) => down.length > 0);
    await node.pushAway(4, 6);
    gate.open();
    await node.comeBack();
    await has("what was pushed meanwhile", ({ message }) => message.length >= 6);
    assert.deepEqual(await texts(), ["1", "2", "3", "4", "5", "6"]);
    assert.deepEqual((await seen()).resumed.at(-1).state, "complete");

    await page.goto("about:blank");
    await node.pageGone();
    await node.pushAway(7, 9);
    await page.goto(address);
    await node.pageBack();
    await has("what was pushed while there was no page", ({ message }) => message.length >= 3);
    assert.deepEqual(await texts(), ["7", "8", "9"]);
    const { resumed, gap, violation, error } = await seen();
    assert.deepEqual([resumed.at(-1).state, gap, violation, error], ["complete", [], [], []]);

    await page.evaluate(() => window.client.close());
    await has("the client is closed", ({ closed }) => closed.length === 1);
    assert.equal(await page.evaluate(() => sessionStorage.length), 0, "nothing is stored of a session that is over");
    await node.end();
    console.log("the page has every message once, over a broken connection and a reload");

    await page.goto(`http://127.0.0.1:${pages.address().port}/refused`);
    await refusals(page);
    console.log("the page is told why it is refused");
  } finally {
    await browser.close();
  }
}

try {
  await main();
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  process.exit();
}
