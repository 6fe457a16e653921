// What the client tells the application, and the emitter that carries it.

import type { Attributes, Missing, Position, ResumeState } from "./frames.js";
import type { Refusal } from "./closing.js";

/** The session that this connection carries. */
export interface Welcome {
  /** The user of the token. */
  readonly user: string;
  /** The device: the one that was asked for, else the token's or a random one. */
  readonly device: string;
  /** Name of the node. */
  readonly node: string;
  /** Identity of the session at the node, for logs. */
  readonly session: string;
  /** Seconds for which the node keeps the session while the client is away. 0: it does not. */
  readonly keep: number;
  /** How much of what was sent meanwhile comes. `none` for a new session, and where the node does not keep it. */
  readonly resumed: ResumeState;
  /** What the application keeps with the session, as it was when the connection opened. Empty without any. */
  readonly attributes: Attributes;
}

/** There is no connection; the next attempt is scheduled. */
export interface Down {
  /** Close code of the connection; 1006 where it broke, or never opened; 4400 to 4599 where the attempt was refused. */
  readonly code: number;
  /** Reason text, of the node or of the client. May be empty. */
  readonly reason: string;
  /** Why the attempt was refused; absent at other ends. */
  readonly refusal?: Refusal;
  /** Milliseconds until the next attempt. */
  readonly retryInMs: number;
}

/** What became of the messages that were sent while the client was away. */
export interface Resumed {
  /**
   * `complete`: all of them come. `pending`: another `resumed` event says it within seconds. `partial`: all but
   * `missing`, some of which may still come late. `none`: the session is a new one, and messages may be missing.
   */
  readonly state: ResumeState;
  /** What is missing; empty unless `state` is `partial`. */
  readonly missing: readonly Missing[];
}

/** A pushed message. */
export interface Message {
  /** Its id, chosen by the publisher or by a node. */
  readonly id: string;
  /** Its payload: a string, or bytes where it was pushed as binary. */
  readonly data: string | Uint8Array;
  /** Its position; absent where the node does not keep the session. */
  readonly position?: Position;
  /** Whether it belongs to an older segment than something that was handed over before, and so is out of order. */
  readonly late: boolean;
}

/** Numbers of a segment that will never come. */
export interface Gap {
  /** The segment. */
  readonly segment: string;
  /** The first number that does not come. */
  readonly from: number;
  /** The last one. */
  readonly to: number;
  /** `expired`, `acknowledged`, or a later version's word. */
  readonly why: string;
}

/** The node skipped numbers without a gap. This is a fault of the node; the client goes on with what came. */
export interface Violation {
  /** The segment. */
  readonly segment: string;
  /** The number that had to come. */
  readonly expected: number;
  /** The number that came: those from `expected` to `got - 1` are missing. */
  readonly got: number;
}

/** Something went wrong that the client lives with. */
export interface Failure {
  /**
   * `token_failed`: the token function threw or rejected. `handler_failed`: a handler did. `storage_failed`: the
   * storage did, or held something else than a state. `bad_frame`: a frame of the node was not understood.
   * `node_error`: the node did not understand a frame of the client. `not_opened`: the WebSocket could not be made.
   * `handlers_behind`: 1,024 messages wait for the handlers, and the connection was closed.
   */
  readonly code:
    | "token_failed"
    | "handler_failed"
    | "storage_failed"
    | "bad_frame"
    | "node_error"
    | "not_opened"
    | "handlers_behind";
  /** A sentence for a log. */
  readonly message: string;
  /** What was thrown, if something was. */
  readonly cause?: unknown;
}

/** The client does not connect again. The session is over, unless `code` is 4401. */
export interface Closed {
  /**
   * 1000 after `close()`, 4001 (superseded), 4002 (kicked), 4400 (the program is wrong), 4401 (no token that is taken
   * can be had; the stored state stays, for a client with a good one) or 4403 (forbidden).
   */
  readonly code: number;
  /** Reason text. */
  readonly reason: string;
  /** Why the last attempt was refused; absent at other ends. */
  readonly refusal?: Refusal;
}

/** The events by their names. */
export interface Events {
  /** A connection is open. */
  open: Welcome;
  /** A connection ended, or an attempt failed. The client tries again. */
  down: Down;
  /** Said after each return of a session. */
  resumed: Resumed;
  /** A message. */
  message: Message;
  /** Messages that will never come. */
  gap: Gap;
  /** The node broke the protocol. */
  violation: Violation;
  /** Something went wrong that the client lives with. Without a handler it goes to `console.error`. */
  error: Failure;
  /** The client does not connect again. */
  closed: Closed;
}

/** A handler of one kind of event. What it throws or rejects with becomes an `error` event. */
export type Handler<K extends keyof Events> = (event: Events[K]) => unknown;

/** Calls handlers. */
export class Emitter {
  readonly #handlers = new Map<keyof Events, Set<Handler<never>>>();

  /** Adds a handler. The function that it gives removes it. A handler that is there already is not added twice. */
  on<K extends keyof Events>(type: K, handler: Handler<K>): () => void {
    let handlers = this.#handlers.get(type);
    if (handlers === undefined) this.#handlers.set(type, (handlers = new Set()));
    handlers.add(handler);
    return () => void handlers.delete(handler);
  }

  /** Whether there is a handler. */
  heard(type: keyof Events): boolean {
    return (this.#handlers.get(type)?.size ?? 0) > 0;
  }

  /** Calls all handlers. Gives a promise that never rejects where one of them is asynchronous. */
  emit<K extends keyof Events>(type: K, event: Events[K]): Promise<void> | undefined {
    if (type === "error" && !this.heard(type)) console.error("pushmesh:", event);
    const waits: Promise<unknown>[] = [];
    for (const handler of [...(this.#handlers.get(type) ?? [])]) {
      try {
        const result = (handler as Handler<K>)(event);
        if (typeof (result as PromiseLike<unknown> | undefined)?.then === "function") {
          waits.push(Promise.resolve(result).catch((cause: unknown) => this.#failed(type, cause)));
        }
      } catch (cause) {
        this.#failed(type, cause);
      }
    }
    return waits.length === 0 ? undefined : Promise.all(waits).then(() => undefined);
  }

  #failed(type: keyof Events, cause: unknown): void {
    const failure: Failure = { code: "handler_failed", message: `a handler of ${type} failed`, cause };
    // A handler of errors that fails must not be called with its own failure.
    if (type === "error") console.error("pushmesh:", failure);
    else void this.emit("error", failure);
  }
}
