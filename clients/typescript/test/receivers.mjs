// Clients of some users, for the test of the whole cluster in tests/cluster/storm.rs, which starts the nodes, pushes, and
// judges. Their connections break at random until a line comes on stdin: a list with the number of messages of each user.
// When all have come, or nothing comes any more, what each client has seen goes to stdout.
//
//   node test/receivers.mjs FIRST END URL…

import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { connect } from "../dist/index.js";

/** The longest pause between two broken connections of one client, in milliseconds. */
const BREAK_MS = 3_000;
/** The longest pause before a client comes back, in milliseconds. */
const RETRY_MS = 300;
/** How long nothing may come before a client is given up, in milliseconds. */
const SILENCE_MS = 10_000;

const [first, end, ...urls] = process.argv.slice(2);

class Receiver {
  messages = [];
  complaints = [];
  resumed = 0;
  heard = performance.now();
  #socket;

  constructor(user) {
    const receiver = this;
    class Breakable extends WebSocket {
      constructor(...args) {
        super(...args);
        receiver.#socket = this;
      }
    }
    this.client = connect({ urls, user, device: "d", keep: 60, WebSocket: Breakable });
    this.client.on("message", ({ id, position, late }) => {
      this.heard = performance.now();
      this.messages.push({ id, segment: position?.segment, late });
    });
    this.client.on("resumed", (event) => {
      if (event.state === "complete") this.resumed += 1;
      else if (event.state !== "pending") this.complaints.push(event);
    });
    this.client.on("gap", (event) => {
      if (event.why !== "acknowledged") this.complaints.push(event);
    });
    this.client.on("violation", (event) => this.complaints.push(event));
    this.client.on("closed", (event) => this.complaints.push(event));
    this.client.on("error", () => {});
  }

  break() {
    this.#socket.terminate();
  }
}

const receivers = Array.from({ length: end - first }, (_, index) => new Receiver(`u${Number(first) + index}`));
let over = false;
for (const receiver of receivers) {
  (async () => {
    while (!over) {
      await sleep(BREAK_MS * Math.random());
      if (!over) receiver.break();
      // No connection lives long enough here to shorten the pauses again: the next attempt comes at once.
      await sleep(RETRY_MS * Math.random());
      receiver.client.retry();
    }
  })();
}

const { value } = await createInterface({ input: process.stdin })[Symbol.asyncIterator]().next();
over = true;
const totals = JSON.parse(value);
for (const receiver of receivers) receiver.heard = performance.now();
const isDone = (receiver, index) =>
  receiver.messages.length >= totals[index] || performance.now() - receiver.heard > SILENCE_MS;
while (!receivers.every(isDone)) {
  for (const { client } of receivers) if (client.state === "waiting") client.retry();
  await sleep(100);
}
const answers = receivers.map(({ messages, complaints, resumed }) => ({ messages, complaints, resumed }));
process.stdout.write(JSON.stringify(answers), () => process.exit(0));
