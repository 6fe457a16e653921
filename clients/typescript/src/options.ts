// What a client is told at its start: checked once, then a Config that nobody checks again.

import type { StateStorage } from "./storage.js";

/** The part of a WebSocket that the client uses. Browsers, Node 22 and the package `ws` have it. */
export interface WebSocketLike {
  readonly readyState: number;
  readonly bufferedAmount: number;
  // `any`: the events of the implementations have no type in common.
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(data: string): void;
  close(code?: number, reason?: string): void;
}

/** Makes a WebSocket. */
export type WebSocketConstructor = new (url: string, protocols?: string) => WebSocketLike;

/** The settings of a client. */
export interface Options {
  /**
   * One or several nodes, `ws`, `wss`, `http` or `https`; a path and a query are kept. In a page they may be relative.
   * The client begins with a random one and goes on to the next when an attempt fails or a node stops.
   */
  readonly urls: string | readonly string[];
  /** The client token, or a function that gets one. The function is called for each attempt, and 30 s before a token expires. */
  readonly token?: string | (() => string | Promise<string>) | undefined;
  /** The user, for nodes with `--dev` only, which take no token. */
  readonly user?: string | undefined;
  /**
   * The device, 1 to 64 bytes. A later connection of the same user and device takes the session over.
   * Default: the token's, else a random one, which the client keeps while it lives.
   */
  readonly device?: string | undefined;
  /**
   * Seconds for which the session is to be kept while the client is away. The node may grant less. 0: not at all.
   * Default: 120.
   */
  readonly keep?: number | undefined;
  /** Keeps the state over a reload of the page. Default: none. */
  readonly storage?: StateStorage | undefined;
  /** The WebSocket to use. Default: `globalThis.WebSocket`. */
  readonly WebSocket?: WebSocketConstructor | undefined;
}

/** Options that were checked. */
export interface Config {
  readonly urls: readonly URL[];
  readonly token: string | (() => string | Promise<string>) | undefined;
  readonly user: string | undefined;
  readonly device: string | undefined;
  readonly keep: number;
  readonly storage: StateStorage | undefined;
  readonly WebSocket: WebSocketConstructor;
}

/** Checks options. Throws a `TypeError` that says what to do. */
export function checked(options: Options): Config {
  const { token, user, device, keep = KEEP_SECONDS, storage } = options;
  const urls = [options.urls].flat().map(nodeUrl);
  if (urls.length === 0) throw new TypeError("urls is empty: name at least one node");
  if (token === undefined && user === undefined) {
    throw new TypeError("there is no token: pass { token }, or { user } for a node with --dev");
  }
  if (!Number.isSafeInteger(keep) || keep < 0) {
    throw new TypeError(`keep is ${keep}: pass whole seconds, or 0 to keep nothing`);
  }
  const WebSocket = options.WebSocket ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
  if (WebSocket === undefined) {
    throw new TypeError('there is no WebSocket here: pass { WebSocket }, in Node 20 that of the package "ws"');
  }
  return { urls, token, user, device, keep, storage, WebSocket };
}

function nodeUrl(text: string): URL {
  let url;
  try {
    url = new URL(text, (globalThis as { location?: Location }).location?.href);
  } catch (cause) {
    throw new TypeError(`${text} is not a URL`, { cause });
  }
  if (!/^(ws|http)s?:$/.test(url.protocol)) throw new TypeError(`${text} is not a ws, wss, http or https URL`);
  return url;
}

/** A walk through a tunnel. Nodes grant up to 300 s by default. Guess. */
const KEEP_SECONDS = 120;
