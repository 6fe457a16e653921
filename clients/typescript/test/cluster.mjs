// A cluster of three real nodes under load: connections break at random, and each node is restarted in turn. Every
// number that was answered as there or as kept has to arrive once and in order.
//
//   PUSHMESH=path/to/pushmesh node test/cluster.mjs
//
// KEEP is the `keep` of the clients (60). With KEEP=0 nothing is broken and nothing restarted, which shows that the
// test itself works with nodes that do not keep. SEED repeats the choices, not the timing.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { connect } from "../dist/index.js";
import { Node } from "./nodes.mjs";
import { eventually } from "./wait.mjs";

const CLIENTS = 20;
const KEEP = Number(process.env.KEEP ?? 60);
/** Milliseconds of load before the first restart, between two, and after the last. */
const CALM_MS = 3_000;
/** The longest pause between two broken connections. */
const BREAK_MS = 150;
/** What a message that has to arrive was answered with. */
const GOOD = new Set(["acked", "delivered", "queued"]);

if (!process.env.PUSHMESH) {
  console.error("PUSHMESH is not set: it names the binary, for instance target/release/pushmesh");
  process.exit(2);
}
const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
const random = mulberry32(seed);
const pick = (list) => list[Math.floor(random() * list.length)];
console.log(`seed ${seed}, keep ${KEEP}`);

/** A client of one user that counts what it sees. */
class Receiver {
  numbers = [];
  counts = { open: 0, gap: 0, violation: 0, complete: 0, pending: 0, partial: 0, none: 0, late: 0 };
  #socket;

  constructor(user, urls) {
    this.user = user;
    const receiver = this;
    class Breakable extends WebSocket {
      constructor(...args) {
        super(...args);
        receiver.#socket = this;
      }
    }
    this.client = connect({ urls, user, device: "d", keep: KEEP, WebSocket: Breakable });
    this.client.on("message", ({ data, late }) => {
      this.numbers.push(Number(data));
      if (late) this.counts.late += 1;
    });
    this.client.on("open", (welcome) => {
      this.keep = welcome.keep;
      this.counts.open += 1;
    });
    this.client.on("resumed", ({ state }) => (this.counts[state] += 1));
    for (const type of ["gap", "violation"]) {
      this.client.on(type, (event) => {
        this.counts[type] += 1;
        console.log(this.user, type, event);
      });
    }
    this.client.on("error", (failure) => console.log(this.user, failure));
    this.closed = new Promise((resolve) => this.client.on("closed", resolve));
  }

  /** Destroys the socket under the connection. */
  break() {
    this.#socket.terminate();
  }
}

const cluster = `client-${process.pid}`;
const nodes = ["n1", "n2", "n3"].map((name) => new Node(cluster, name));
const down = new Set();
const outcomes = new Map();
let loading = true;

/** Pushes 1, 2, 3 … to a user, each until it was taken, over nodes that are up. Gives the last number. */
async function pushNumbers(user) {
  for (let number = 1; ; number += 1) {
    if (!loading) return number - 1;
    const deadline = performance.now() + 60_000;
    for (;;) {
      const up = nodes.filter((node) => !down.has(node));
      const { status, outcome } = await pick(up).push(user, `${user}-${number}`, String(number));
      outcomes.set(`${status} ${outcome}`, (outcomes.get(`${status} ${outcome}`) ?? 0) + 1);
      if (status === 200 && GOOD.has(outcome)) break;
      assert.ok(performance.now() < deadline, `push ${number} to ${user} was not taken: ${status} ${outcome}`);
      await sleep(20 + 80 * random());
    }
    await sleep(10 * random());
  }
}

async function breakConnections(receivers) {
  while (loading) {
    await sleep(BREAK_MS * random());
    const receiver = pick(receivers);
    receiver.break();
    // No connection lives long enough here to shorten the pauses again: the next attempt comes soon.
    setTimeout(() => receiver.client.retry(), 300 * random());
  }
}

async function restart(node) {
  down.add(node);
  await node.stop();
  await node.start(nodes.filter((other) => other !== node));
  down.delete(node);
}

async function main() {
  for (const [index, node] of nodes.entries()) await node.start(nodes.slice(0, index));
  const urls = nodes.map((node) => node.url);
  const receivers = Array.from({ length: CLIENTS }, (_, index) => new Receiver(`u${index}`, urls));
  await eventually("all clients connected", () => receivers.every((receiver) => receiver.counts.open > 0), 30_000);
  for (const { keep } of receivers) assert.equal(keep, KEEP, "the node grants another keep");
  const pushers = receivers.map(({ user }) => pushNumbers(user));
  const breaking = KEEP > 0 ? breakConnections(receivers) : undefined;
  await sleep(CALM_MS);
  for (const node of KEEP > 0 ? nodes : []) {
    await restart(node);
    console.log(`${node.name} restarted`);
    await sleep(CALM_MS);
  }
  loading = false;
  const last = await Promise.all(pushers);
  await breaking;
  for (const { client } of receivers) client.retry();
  await eventually("all numbers arrived", () => receivers.every(({ numbers }, index) => numbers.at(-1) >= last[index]), 30_000)
    .catch((error) => console.error(error.message));
  console.log("pushes by answer:", Object.fromEntries([...outcomes].sort()));
  const total = receivers.reduce((sums, { counts }) => {
    for (const [name, count] of Object.entries(counts)) sums[name] = (sums[name] ?? 0) + count;
    return sums;
  }, {});
  console.log("events:", total, "numbers:", last.reduce((sum, count) => sum + count, 0));
  for (const [index, { user, numbers, counts }] of receivers.entries()) {
    assert.deepEqual(numbers, Array.from({ length: last[index] }, (_, n) => n + 1), `${user} has every number once, in order`);
    assert.deepEqual([counts.gap, counts.violation], [0, 0], `${user} saw no gap and no violation`);
    assert.deepEqual([counts.none, counts.partial], [0, 0], `${user} always came back to its session`);
  }
  for (const { client, closed } of receivers) {
    client.close();
    await closed;
  }
  for (const node of nodes) await node.stop();
  console.log("every number arrived once and in order");
}

/** A small generator with a seed (Tommy Ettinger's Mulberry32, public domain). */
function mulberry32(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

try {
  await main();
} catch (error) {
  console.error(error);
  for (const node of nodes) console.error(`--- the end of the log of ${node.name}\n${node.log()}`);
  process.exitCode = 1;
} finally {
  for (const node of nodes) node.kill();
  // Clients that were not closed would wait for their nodes.
  process.exit();
}
