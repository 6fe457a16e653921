// A client whose time a test moves by hand, and whose events a test takes one by one.

import { WebSocket } from "ws";
import { Client } from "../dist/client.js";
import { checked } from "../dist/options.js";
import { startNode } from "./mock.mjs";
import { Queue, within } from "./wait.mjs";

/** A clock that stands still until it is moved. */
export class ManualClock {
  #now = 1_000_000;
  #timers = new Set();

  now() {
    return this.#now;
  }

  start(ms, run) {
    const timer = { at: this.#now + ms, run };
    this.#timers.add(timer);
    return timer;
  }

  stop(timer) {
    this.#timers.delete(timer);
  }

  /** Moves time, and runs what is due in its order. */
  advance(ms) {
    const end = this.#now + ms;
    for (;;) {
      const due = [...this.#timers].filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#now = due.at;
      due.run();
    }
    this.#now = end;
  }
}

const EVENTS = ["open", "down", "resumed", "message", "gap", "violation", "error", "closed"];

/** Starts a client of these nodes that is closed when the test `t` ends. */
export function startClient(t, nodes, options = {}) {
  const clock = new ManualClock();
  const { random = () => 0.5, message = () => undefined, ...rest } = options;
  const urls = [nodes].flat().map((node) => node.url);
  const client = new Client(checked({ urls, token: "T", device: "phone", WebSocket, ...rest }), clock, random);
  const events = {};
  const log = [];
  for (const type of EVENTS) {
    events[type] = new Queue();
    // `message: null` leaves the client without a handler for messages.
    if (type === "message" && message === null) continue;
    client.on(type, (event) => {
      events[type].push(event);
      log.push([type, event]);
      if (type === "message") return message(event);
    });
  }
  t.after(() => client.close());
  return {
    client,
    clock,
    /** All events so far. */
    log,
    /** How many events of a kind wait to be taken. */
    waiting: (type) => events[type].size,
    /** The next event of a kind. */
    next: (type) => within(`an event ${type}`, events[type].next()),
    /** Takes so many messages and gives their payloads. */
    async texts(count) {
      const texts = [];
      while (texts.length < count) texts.push((await within("a message", events.message.next())).data);
      return texts;
    },
    /** Waits until the connection has ended and makes the next attempt. */
    async comeBack() {
      const down = await this.next("down");
      clock.advance(down.retryInMs);
      return down;
    },
    /** Waits until everything that the node sent before is with the client. */
    async settled(connection) {
      connection.send({ type: "error", code: "marker", message: "" });
      for (;;) {
        const failure = await this.next("error");
        if (failure.message === "marker: ") return;
      }
    },
    /** Checks that the client has sent nothing that was not read. */
    async silent(connection) {
      client.send("marker");
      const frame = await connection.next();
      if (frame.data !== "marker") throw new Error(`the client sent ${JSON.stringify(frame)}`);
    },
  };
}

/** A client with an open connection of a node that keeps, in segment `a`. */
export async function open(t, options) {
  const node = await startNode(t);
  const c = startClient(t, node, options);
  const connection = await node.connection();
  connection.keeps("a");
  await c.next("open");
  return { node, c, connection };
}
