// The client of pushmesh for browsers and Node: a WebSocket session that survives broken connections and restarted
// nodes. See README.md.

import { Client } from "./client.js";
import { systemClock } from "./clock.js";
import type { Options } from "./options.js";
import { checked } from "./options.js";

/**
 * Connects to a cluster. The client works until `close()`, or until another client takes its session over.
 * Throws a `TypeError` where the options make no sense.
 */
export function connect(options: Options): Client {
  return new Client(checked(options), systemClock, Math.random);
}

export type { Client, ClientState } from "./client.js";
export type { Closed, Down, Events, Failure, Gap, Handler, Message, Resumed, Violation, Welcome } from "./events.js";
export type { Attributes, Missing, Position, ResumeState } from "./frames.js";
export type { Options, WebSocketConstructor, WebSocketLike } from "./options.js";
export type { Refusal, RefusalCode } from "./closing.js";
export { sessionStorageState } from "./storage.js";
export type { State, StateStorage } from "./storage.js";
