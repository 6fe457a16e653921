// One WebSocket, from the attempt to its end. It reads frames, finds out that nobody is there any more, and tells its
// end exactly once. It knows nothing of sessions, and does not come back.
//
//   opening ── welcome within 10 s ──▶ welcomed ── close, or silence of 60 + 10 s ──▶ ended
//      └───────────────── close, or no welcome ──────────────────────────────────────▶ ended

import type { Clock } from "./clock.js";
import type { ClientFrame, NodeFrame } from "./frames.js";
import { parseFrame } from "./frames.js";
import type { WebSocketLike } from "./options.js";

/** How a connection ended. */
export interface End {
  /** Close code; 1006 where there was no close frame. */
  readonly code: number;
  /** Reason text of the node, or of this client. */
  readonly reason: string;
  /** Whether the attempt was answered with HTTP 400, where the WebSocket tells. Browsers do not. */
  readonly refused: boolean;
}

/** What the owner of a connection is told. */
export interface Listener {
  /** A frame that was understood. The first one is a welcome. */
  frame(frame: NodeFrame): void;
  /** A frame that was not understood. */
  malformed(cause: unknown): void;
  /** The end. Nothing comes after it. */
  ended(end: End): void;
}

/** A connection to a node. */
export class Connection {
  readonly #socket: WebSocketLike;
  readonly #clock: Clock;
  readonly #listener: Listener;
  #welcomed = false;
  #refused = false;
  #heardAt = 0;
  #timer: unknown;

  /** Takes over a socket that was just made. */
  constructor(socket: WebSocketLike, clock: Clock, listener: Listener) {
    this.#socket = socket;
    this.#clock = clock;
    this.#listener = listener;
    socket.onmessage = (event) => this.#received(event.data);
    // The package "ws" has the status in the text of its error.
    socket.onerror = (event) => void (this.#refused ||= /response: 400/.test(event?.message));
    socket.onclose = (event) => this.#end(event.code, event.reason);
    this.#timer = clock.start(WELCOME_MS, () => this.fail("no welcome"));
  }

  /** Sends a frame. False where the socket is not open. */
  send(frame: ClientFrame): boolean {
    if (this.#socket.readyState !== OPEN) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  /** Whether so much waits in the socket that the application is to stop sending. */
  get congested(): boolean {
    return this.#socket.bufferedAmount > BUFFERED_BYTES_MAX;
  }

  /** Ends the session and the connection. The listener is not told. */
  bye(): void {
    this.send({ type: "bye" });
    this.#release(1000, "bye");
  }

  /** Gives the connection up. The session stays. */
  fail(reason: string): void {
    // 1000 would end the session, and the other codes of RFC 6455 are not for applications.
    this.#release(4000, reason);
    this.#listener.ended({ code: 1006, reason, refused: false });
  }

  #received(data: unknown): void {
    this.#heardAt = this.#clock.now();
    let frame;
    try {
      frame = parseFrame(data);
    } catch (cause) {
      this.#listener.malformed(cause);
    }
    if (!this.#welcomed) {
      if (frame?.type !== "welcome") return this.fail("the first frame is no welcome: is this a pushmesh node?");
      this.#welcomed = true;
      this.#watch(SILENCE_MS, () => this.#ask());
    }
    if (frame !== undefined) this.#listener.frame(frame);
  }

  /** Calls `silent` when nothing was received for `ms`. */
  #watch(ms: number, silent: () => void): void {
    this.#clock.stop(this.#timer);
    this.#timer = this.#clock.start(ms, silent);
  }

  /** Pings a node that may be silent only because it has nothing to say. */
  #ask(): void {
    const rest = this.#heardAt + SILENCE_MS - this.#clock.now();
    if (rest > 0) return this.#watch(rest, () => this.#ask());
    const asked = this.#clock.now();
    this.send({ type: "ping" });
    this.#watch(PONG_MS, () => (this.#heardAt >= asked ? this.#ask() : this.fail("no answer to a ping")));
  }

  #end(code: number, reason: string): void {
    this.#release();
    this.#listener.ended({ code, reason, refused: this.#refused });
  }

  /** Lets go of the socket: nothing that it does later is of this connection. */
  #release(code?: number, reason?: string): void {
    this.#clock.stop(this.#timer);
    const socket = this.#socket;
    socket.onmessage = socket.onclose = null;
    // Some implementations throw an error that nobody listens for.
    socket.onerror = () => undefined;
    if (code !== undefined) socket.close(code, reason);
  }
}

/** `readyState` of an open WebSocket. */
const OPEN = 1;
/** Milliseconds from the attempt to the welcome: as long as a node waits for a client. */
const WELCOME_MS = 10_000;
/** Milliseconds of silence before a ping: a node that lives pings too, but pages can not see that. */
const SILENCE_MS = 60_000;
/** Milliseconds to answer a ping. */
const PONG_MS = 10_000;
/** Bytes that the socket may hold before `send` refuses: 16 messages of the greatest size that nodes take. Guess. */
const BUFFERED_BYTES_MAX = 1 << 20;
