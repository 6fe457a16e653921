// The client: it connects, comes back, and carries what the session and the application say to each other.
//
//   connecting ── welcome ──▶ open ── the connection ends ──▶ waiting ── pause ──▶ connecting
//        └───────── the attempt fails ───────────────────────────▲
//   any ── close(), or an end after which no attempt can succeed ──▶ closed

import { address } from "./address.js";
import { Backoff } from "./backoff.js";
import { encodeBase64 } from "./base64.js";
import type { Clock } from "./clock.js";
import * as closing from "./closing.js";
import type { Refusal } from "./closing.js";
import { Connection } from "./connection.js";
import type { End } from "./connection.js";
import { Emitter } from "./events.js";
import type { Closed, Events, Failure, Handler } from "./events.js";
import type { NodeFrame, WelcomeFrame } from "./frames.js";
import type { Config } from "./options.js";
import { Session } from "./session.js";
import { isState } from "./storage.js";
import type { State } from "./storage.js";

/** Where a client is. `waiting`: for the next attempt. */
export type ClientState = "connecting" | "open" | "waiting" | "closed";

/** A client with one session. It connects at once and comes back by itself until it is closed. */
export class Client {
  readonly #config: Config;
  readonly #clock: Clock;
  readonly #events = new Emitter();
  readonly #session: Session;
  readonly #backoff: Backoff;
  #state: ClientState = "connecting";
  #connection: Connection | undefined;
  #node: number;
  /** When the present connection was welcomed, in milliseconds. */
  #openedAt = 0;
  /** Attempts in a row that were refused because of their token. */
  #unauthorized = 0;
  #timer: unknown;
  #stored = true;
  /** Whether nothing is to be stored any more. */
  #silent = false;

  /** @internal Made by `connect`. `random` gives a number from 0 up to, and not including, 1. */
  constructor(config: Config, clock: Clock, random: () => number) {
    this.#config = config;
    this.#clock = clock;
    this.#session = new Session(this.#events, clock, () => this.#flush());
    this.#backoff = new Backoff(random);
    this.#node = Math.floor(random() * config.urls.length);
    void this.#start();
  }

  /** Where the client is. */
  get state(): ClientState {
    return this.#state;
  }

  /**
   * Adds a handler. The function that it gives removes it.
   *
   * `message`, `gap`, `violation`, `resumed` and `closed` come one at a time: the next one when the promises that the
   * handlers of the one before gave have settled. Without a handler for `message` they wait. `open`, `down` and
   * `error` come at once.
   */
  on<K extends keyof Events>(type: K, handler: Handler<K>): () => void {
    const off = this.#events.on(type, handler);
    // Later, so that the caller has `off` when the first event comes.
    if (type === "message") void Promise.resolve().then(() => this.#session.inbox.run());
    return off;
  }

  /**
   * Sends a message to the application behind the node: a string as text, bytes as binary, at most 64 KiB as a frame.
   * False where nothing was sent, because no connection is open or more than 1 MiB waits in its socket. True says
   * that the socket took it and no more: what a client sends is neither acknowledged nor repeated.
   */
  send(data: string | Uint8Array): boolean {
    const text = typeof data === "string";
    if (!text && !(data instanceof Uint8Array)) throw new TypeError("data is neither a string nor a Uint8Array");
    if (this.#state !== "open" || this.#connection === undefined || this.#connection.congested) return false;
    return this.#connection.send(text ? { type: "message", data } : { type: "message", base64: encodeBase64(data) });
  }

  /** Ends a pause before an attempt, for instance when the browser says that it is `online`. */
  retry(): void {
    if (this.#state !== "waiting") return;
    this.#clock.stop(this.#timer);
    void this.#attempt();
  }

  /**
   * Ends the session: the node keeps nothing of it, and the stored state is removed. No handler but that of `closed`
   * is called any more. Without an open connection the node can not be told, and keeps the session until its time is
   * over.
   */
  close(): void {
    if (this.#state === "closed") {
      // A client that stopped for want of a good token has left its state in the storage.
      if (this.#unauthorized > 0) this.#forget();
      return;
    }
    this.#session.inbox.clear();
    if (this.#state === "open") this.#flush();
    this.#connection?.bye();
    this.#finish();
    this.#forget();
    void this.#events.emit("closed", { code: 1000, reason: "bye" });
  }

  async #start(): Promise<void> {
    // The application adds its handlers first.
    await Promise.resolve();
    if (this.#isClosed()) return;
    try {
      const state: unknown = await this.#config.storage?.load();
      if (isState(state)) this.#session.restore(state, this.#clock.now());
      else if (state != null) throw new TypeError("what was stored is not a state");
    } catch (cause) {
      this.#fail("storage_failed", "the stored state could not be loaded", cause);
    }
    if (!this.#isClosed()) await this.#attempt();
  }

  async #attempt(): Promise<void> {
    this.#state = "connecting";
    const { urls, WebSocket } = this.#config;
    let token;
    try {
      token = await this.#token();
    } catch (cause) {
      if (this.#isClosed()) return;
      this.#fail("token_failed", "the token function failed", cause);
      return this.#wait(1006, "the token function failed", this.#backoff.next());
    }
    if (this.#isClosed()) return;
    const node = urls[this.#node % urls.length] as URL;
    const url = address(node, this.#config, token, this.#session.comeBack(this.#clock.now()));
    try {
      this.#connection = new Connection(new WebSocket(url, SUBPROTOCOL), this.#clock, {
        frame: (frame) => this.#received(frame),
        malformed: (cause) => this.#fail("bad_frame", "a frame of the node was not understood", cause),
        ended: (end) => this.#ended(end),
      });
    } catch (cause) {
      this.#fail("not_opened", `no WebSocket to ${node.host} could be made`, cause);
      this.#ended({ code: 1006, reason: "the WebSocket could not be made", refused: false });
    }
  }

  /** The token to show now. */
  async #token(): Promise<string | undefined> {
    const { token } = this.#config;
    return typeof token === "function" ? token() : token;
  }

  /** Shows another token before the one of the connection expires. Without one the node closes it then. */
  async #renew(): Promise<void> {
    const connection = this.#connection;
    // A token that is a text is the one that expires.
    if (typeof this.#config.token !== "function") return;
    try {
      const token = await this.#token();
      // Meanwhile there may be another connection, which has shown a token of its own.
      if (token !== undefined && connection === this.#connection) connection?.send({ type: "token", token });
    } catch (cause) {
      if (!this.#isClosed()) this.#fail("token_failed", "the token function failed", cause);
    }
  }

  #received(frame: NodeFrame): void {
    const session = this.#session;
    switch (frame.type) {
      case "welcome":
        return this.#welcomed(frame);
      case "message":
        if (session.message(frame)) return;
        this.#fail("handlers_behind", "the handlers are too far behind: the connection is closed");
        return this.#connection?.fail("the handlers are too far behind");
      case "resumed":
        return session.resumed(frame);
      case "gap":
        return session.gap(frame);
      case "closed":
        return session.closed(frame);
      case "error":
        return this.#fail("node_error", `${frame.code}: ${frame.message}`);
      case "expiring":
        return void this.#renew();
      case "renewed":
      case "pong":
    }
  }

  #welcomed(frame: WelcomeFrame): void {
    this.#state = "open";
    this.#openedAt = this.#clock.now();
    this.#unauthorized = 0;
    const { user, device, node, session, keep, resumed, attributes } = frame;
    void this.#events.emit("open", {
      user,
      device,
      node,
      session,
      keep: keep ?? 0,
      resumed: resumed ?? "none",
      attributes: attributes ?? {},
    });
    // A handler may have closed the client.
    if (!this.#isClosed()) this.#session.welcome(frame);
  }

  #ended({ code, reason, refused }: End): void {
    this.#connection = undefined;
    const now = this.#clock.now();
    const opened = this.#state === "open";
    if (opened) this.#session.away(now);
    else if (!closing.isRefusal(code)) this.#session.attemptFailed(refused);
    if (opened && now - this.#openedAt >= HEALTHY_MS) this.#backoff.reset();
    if (!opened || code === closing.RESTARTING || code === closing.TRY_LATER) this.#node += 1;
    const refusal = closing.readRefusal(code, reason);
    const pause = this.#pause(code, reason, refusal);
    if (pause !== undefined) return this.#wait(code, reason, pause, refusal);
    this.#finish();
    // A session is not over for want of a good token: a later client may have one, and come back.
    if (code !== closing.UNAUTHORIZED) this.#forget();
    // Behind what was received before the end.
    this.#session.inbox.push({ run: () => this.#tellEnd(refusal === undefined ? { code, reason } : { code, reason, refusal }) });
  }

  /** Milliseconds until the next attempt; `undefined` where no attempt can succeed. */
  #pause(code: number, reason: string, refusal: Refusal | undefined): number | undefined {
    switch (code) {
      case closing.SUPERSEDED:
      case closing.KICKED:
      case closing.FORBIDDEN:
        return undefined;
      case closing.BAD_REQUEST:
        // Not again without a resume token: then the URL of the application has one that is wrong.
        return refusal?.code === "bad_resume" && this.#session.giveUp() ? this.#backoff.short() : undefined;
      case closing.UNAUTHORIZED:
        this.#unauthorized += 1;
        // The token function is called for each attempt.
        if (typeof this.#config.token === "function" && this.#unauthorized < UNAUTHORIZED_MAX) break;
        return undefined;
      case closing.RESTARTING:
      case closing.TRY_LATER:
      case closing.TOKEN_EXPIRED:
      case closing.TOO_MANY: {
        const told = closing.retryMs(reason);
        if (told !== undefined) return told;
      }
    }
    return this.#backoff.next();
  }

  #wait(code: number, reason: string, retryInMs: number, refusal?: Refusal): void {
    this.#state = "waiting";
    this.#timer = this.#clock.start(retryInMs, () => void this.#attempt());
    void this.#events.emit("down", refusal === undefined ? { code, reason, retryInMs } : { code, reason, retryInMs, refusal });
  }

  #finish(): void {
    this.#state = "closed";
    this.#connection = undefined;
    this.#clock.stop(this.#timer);
  }

  /** Tells the end. From then on the storage may be that of the next client. */
  #tellEnd(end: Closed): Promise<void> | undefined {
    this.#flush();
    this.#silent = true;
    return this.#events.emit("closed", end);
  }

  /** Removes the stored state. */
  #forget(): void {
    this.#silent = true;
    this.#save(undefined);
  }

  /** Acknowledges what was handled. What is stored is never behind what is acknowledged. */
  #flush(): void {
    if (this.#silent) return;
    this.#save(this.#session.state);
    if (this.#state !== "open") return;
    for (const ack of this.#session.acknowledge()) this.#connection?.send({ type: "ack", ...ack });
  }

  #save(state: State | undefined): void {
    try {
      this.#config.storage?.save(state);
      this.#stored = true;
    } catch (cause) {
      // Once until it works again, and not for each acknowledgement.
      if (this.#stored) this.#fail("storage_failed", "the state could not be saved", cause);
      this.#stored = false;
    }
  }

  #fail(code: Failure["code"], message: string, cause?: unknown): void {
    void this.#events.emit("error", cause === undefined ? { code, message } : { code, message, cause });
  }

  /** A handler or a promise in between may have closed the client, which the compiler does not see. */
  #isClosed(): boolean {
    return this.#state === "closed";
  }
}

/** The subprotocol of docs/PROTOCOL.md, section 3.3. */
const SUBPROTOCOL = "pushmesh.v1";
/** Milliseconds that a connection has to be open for the next pause to be a short one again. Guess. */
const HEALTHY_MS = 5_000;
/**
 * Attempts in a row with refused tokens after which the client stops. The seven pauses between eight take 16 s on
 * average and 32 s at most, while a node takes up a new key of the tokens within 4 s (docs/OPERATIONS.md). Guess.
 */
const UNAUTHORIZED_MAX = 8;
