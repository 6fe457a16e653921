// A node that does what a test says, on a port of the kernel's choice: it accepts WebSockets, and a test reads and
// writes their frames one by one. It knows nothing of sessions.

import { once } from "node:events";
import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import { Queue, within } from "./wait.mjs";

/** Starts a node. It is stopped when the test `t` ends. */
export async function startNode(t) {
  const node = new MockNode();
  node.server.listen(0, "127.0.0.1");
  await once(node.server, "listening");
  t?.after(() => node.stop());
  return node;
}

export class MockNode {
  server = createServer();
  #sockets = new WebSocketServer({ noServer: true, handleProtocols: () => "pushmesh.v1" });
  #connections = new Queue();
  #attempts = new Queue();
  #refusals = [];
  #open = new Set();

  constructor() {
    this.server.on("upgrade", (request, socket, head) => {
      this.#open.add(socket);
      socket.on("error", () => {});
      const query = new URL(request.url, "http://node").searchParams;
      this.#attempts.push(query);
      const status = this.#refusals.shift();
      if (status !== undefined) return socket.end(`HTTP/1.1 ${status} Refused\r\nConnection: close\r\n\r\n`);
      this.#sockets.handleUpgrade(request, socket, head, (ws) => {
        this.#connections.push(new MockConnection(ws, socket, request, query));
      });
    });
  }

  /** Its URL, for clients. */
  get url() {
    return `ws://127.0.0.1:${this.server.address().port}`;
  }

  /** The next connection. */
  connection() {
    return within("a connection", this.#connections.next());
  }

  /** The query of the next attempt, refused or not. */
  attempt() {
    return within("an attempt", this.#attempts.next());
  }

  /** Answers the next attempts with these statuses. */
  refuse(...statuses) {
    this.#refusals.push(...statuses);
  }

  /** Breaks all connections and listens no more. */
  stop() {
    for (const socket of this.#open) socket.destroy();
    this.server.close();
  }
}

class MockConnection {
  #frames = new Queue();
  #closed;

  constructor(ws, socket, request, query) {
    this.ws = ws;
    this.socket = socket;
    this.url = new URL(request.url, "http://node");
    this.query = query;
    this.protocol = request.headers["sec-websocket-protocol"];
    ws.on("message", (data) => this.#frames.push(JSON.parse(data.toString())));
    this.#closed = new Promise((resolve) => ws.on("close", (code, reason) => resolve([code, reason.toString()])));
  }

  /** Sends a frame. */
  send(frame) {
    this.ws.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  /** Sends a welcome with these fields beside the usual ones. */
  welcome(fields = {}) {
    this.send({ type: "welcome", user: "42", device: "phone", node: "n1", session: "7", resume: "R1", ...fields });
  }

  /** Sends a welcome of a node that keeps. */
  keeps(segment, fields = {}) {
    this.welcome({ keep: 120, window: 256, segment, n: 0, resumed: "none", ...fields });
  }

  /** Sends messages with these numbers, the ids of which are made of segment and number. */
  messages(segment, from, to, fields = {}) {
    for (let n = from; n <= to; n += 1) {
      this.send({ type: "message", id: `${segment ?? "current"}-${n}`, n, data: `${n}`, ...(segment && { segment }), ...fields });
    }
  }

  /** The next frame of the client. */
  next() {
    return within("a frame of the client", this.#frames.next());
  }

  /** The close code and reason of the client. */
  closed() {
    return within("the end of the connection", this.#closed);
  }

  /** Closes as a node does. */
  close(code, reason) {
    this.ws.close(code, reason);
  }

  /** Breaks the connection without a word. */
  drop() {
    this.socket.destroy();
  }
}
