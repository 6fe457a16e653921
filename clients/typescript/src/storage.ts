// What a session needs to outlive its page: its resume token and its positions. No message is stored, and no id.

import type { Position } from "./frames.js";

/** What a client comes back with. Small: at most 4 positions. */
export interface State {
  /** The resume token of the last welcome. It is no credential: without a good client token it opens nothing. */
  readonly resume: string;
  /** Seconds for which the session is kept; 0 where it is not. */
  readonly keep: number;
  /** What the application has handled, newest segment first. */
  readonly positions: readonly Position[];
}

/** Keeps the state of one client. Two clients that are alive at once must not share one. */
export interface StateStorage {
  /** The state that was saved last; `undefined` without one. Called once, before the first attempt. */
  load(): State | undefined | Promise<State | undefined>;
  /**
   * Replaces the state; `undefined` removes it, when the session is over. Called before each acknowledgement, so up to
   * 100 times a second. Where it takes effect only later, a reload in between loses nothing, but may report a gap
   * (`acknowledged`) or a violation.
   */
  save(state: State | undefined): void;
}

/**
 * Keeps the state in the `sessionStorage` of a browser: a reload of the page in its tab resumes.
 * `key` is the name of the entry. Put the user in it where users change within a tab: `pushmesh:${user}`.
 */
export function sessionStorageState(key: string): StateStorage {
  return {
    load() {
      const text = sessionStorage.getItem(key);
      return text === null ? undefined : (JSON.parse(text) as State);
    },
    save(state) {
      if (state === undefined) sessionStorage.removeItem(key);
      else sessionStorage.setItem(key, JSON.stringify(state));
    },
  };
}

/** Whether a value that a storage gave is a state. */
export function isState(value: unknown): value is State {
  const state = value as State | null | undefined;
  return (
    typeof state?.resume === "string" &&
    Number.isSafeInteger(state.keep) &&
    Array.isArray(state.positions) &&
    state.positions.every((at: Position | null) => typeof at?.segment === "string" && Number.isSafeInteger(at.n))
  );
}
