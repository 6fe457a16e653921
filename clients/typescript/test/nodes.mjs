// Real nodes: processes of the binary that PUSHMESH names, on loopback and ports of the kernel's choice.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { within } from "./wait.mjs";

/** A node. It keeps its name and its addresses over restarts. */
export class Node {
  #process;
  #log = [];

  constructor(cluster, name, flags = []) {
    this.cluster = cluster;
    this.name = name;
    this.flags = flags;
    this.http = "127.0.0.1:0";
    this.mesh = "127.0.0.1:0";
  }

  /** Its URL, for clients and pushes. */
  get url() {
    return `http://${this.http}`;
  }

  /** Starts it, and waits until it is ready. */
  async start(peers = []) {
    const flags = ["--cluster", this.cluster, "--name", this.name, "--listen", this.http, "--mesh-listen", this.mesh];
    for (const peer of peers) flags.push("--peer", peer.mesh);
    const env = { RUST_BACKTRACE: "1", RUST_LOG: process.env.RUST_LOG ?? "pushmesh=info,warn" };
    const child = spawn(process.env.PUSHMESH, ["node", "--dev", ...flags, ...this.flags], { env });
    this.#process = child;
    child.stderr.on("data", (data) => this.#log.push(data));
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    for (;;) {
      const { value, done } = await within(`readiness of ${this.name}`, lines.next(), 60_000);
      if (done) throw new Error(`${this.name} ended: ${this.log()}`);
      if (value.endsWith(" ready")) return;
      this.http = / http=(\S+)/.exec(value)[1];
      this.mesh = / mesh=(\S+)/.exec(value)[1];
    }
  }

  /** Stops it as an orchestrator does. */
  async stop() {
    const end = once(this.#process, "exit");
    this.#process.kill("SIGTERM");
    const [code] = await within(`the stop of ${this.name}`, end, 60_000);
    if (code !== 0) throw new Error(`${this.name} ended with ${code}: ${this.log()}`);
  }

  /** Kills it, whatever it does. */
  kill() {
    this.#process?.kill("SIGKILL");
  }

  /** The end of its log. */
  log() {
    return Buffer.concat(this.#log).toString().split("\n").slice(-40).join("\n");
  }

  /** Pushes a text to a user. Gives status and outcome of the one session; status 0 where there was no answer. */
  async push(user, id, text) {
    try {
      const answer = await fetch(`${this.url}/v1/users/${user}/push`, {
        method: "POST",
        headers: { "Idempotency-Key": id },
        body: text,
        signal: AbortSignal.timeout(10_000),
      });
      const body = await answer.json();
      return { status: answer.status, outcome: body.sessions?.[0]?.outcome ?? body.error?.code };
    } catch (error) {
      return { status: 0, outcome: String(error.cause?.code ?? error.name) };
    }
  }
}
