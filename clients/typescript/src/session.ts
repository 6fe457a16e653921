// A session as its client keeps it, across connections: what it comes back with, what it has of each segment, and
// what waits for the application. It decides what a frame means; it opens no connection and has no clock but that of
// its acknowledgements.

import { Acks } from "./acks.js";
import type { Return } from "./address.js";
import type { Clock } from "./clock.js";
import type { Emitter, Resumed, Violation } from "./events.js";
import type { ClosedFrame, GapFrame, MessageFrame, Position, ResumedFrame, WelcomeFrame } from "./frames.js";
import { Inbox } from "./inbox.js";
import { Positions } from "./positions.js";
import { RecentIds } from "./recent.js";
import type { State } from "./storage.js";

/** The session of one client. */
export class Session {
  readonly #events: Emitter;
  readonly #positions = new Positions();
  readonly #recent = new RecentIds();
  readonly #acks: Acks;
  readonly inbox: Inbox;
  #resume: string | undefined;
  #keep = 0;
  /** The segment of the welcome; `undefined` where the node does not keep the session. */
  #current: string | undefined;
  /** When the last connection ended, in milliseconds. */
  #awaySince = 0;
  /** Attempts to come back that failed before they were open, in a row. */
  #failures = 0;
  #refused = false;
  /** Whether there was a session before the next welcome, of an earlier connection or a stored one. */
  #begun = false;

  /** `flush` saves the state and sends what `acknowledge` gives. */
  constructor(events: Emitter, clock: Clock, flush: () => void) {
    this.#events = events;
    this.#acks = new Acks(clock, flush);
    this.inbox = new Inbox(() => events.heard("message"));
  }

  /** What is to be stored; `undefined` before the first welcome. */
  get state(): State | undefined {
    if (this.#resume === undefined) return undefined;
    return { resume: this.#resume, keep: this.#keep, positions: this.#positions.newest() };
  }

  /** Takes a stored state. To be called before the first attempt. */
  restore(state: State, now: number): void {
    this.#resume = state.resume;
    this.#keep = state.keep;
    this.#begun = true;
    this.#awaySince = now;
    for (const { segment, n } of state.positions) this.#positions.begin(segment, n);
  }

  /**
   * What the next attempt comes back with. `undefined` before the first welcome, and where the resume token may be
   * what keeps the client out: a page cannot see why an attempt failed when a proxy or an earlier node refused it.
   * Within `keep` of the last connection that is no reason to give the messages up, unless the refusal was seen,
   * because a network that is away looks the same.
   */
  comeBack(now: number): Return | undefined {
    if (this.#resume === undefined) return undefined;
    const over = now - this.#awaySince >= this.#keep * 1000;
    if (this.#refused || (over && this.#failures >= FAILURES_MAX)) {
      this.#refused = false;
      // Counts from below, because the attempt that follows is no attempt to come back.
      this.#failures = -1;
      return undefined;
    }
    const after = this.#positions.newest();
    this.#positions.told(after);
    return { resume: this.#resume, after };
  }

  /** An attempt failed before it was open, and no node said why. `refused`: the answer was 400. */
  attemptFailed(refused: boolean): void {
    this.#failures += 1;
    this.#refused = refused && this.#failures > 0;
  }

  /** No node of this cluster takes the resume token: gives it up. False where there is none. */
  giveUp(): boolean {
    if (this.#resume === undefined) return false;
    this.#resume = undefined;
    return true;
  }

  /** A connection that was open has ended. */
  away(now: number): void {
    this.#awaySince = now;
  }

  /** A connection is open. Gives what is to be said about the messages that were sent meanwhile, on a return. */
  welcome(frame: WelcomeFrame): void {
    const returning = this.#begun;
    const { segment, keep, n } = frame;
    const state = frame.resumed ?? "none";
    this.#failures = 0;
    this.#begun = true;
    this.#resume = frame.resume;
    if (state === "none") this.#positions.clear();
    const kept = segment != null && !!keep;
    this.#keep = kept ? keep : 0;
    this.#current = kept ? segment : undefined;
    if (kept) this.#positions.open(segment, n ?? 0);
    this.#acks.flush();
    if (returning) this.#say("resumed", { state, missing: frame.missing ?? [] });
  }

  /** The rest of a welcome that was `pending`. */
  resumed(frame: ResumedFrame): void {
    this.#say("resumed", { state: frame.resumed, missing: frame.missing ?? [] } satisfies Resumed);
  }

  /** A message. False where it was not taken, because too much waits for the application. */
  message(frame: MessageFrame): boolean {
    if (this.inbox.full) return false;
    const { id, data, n } = frame;
    const segment = frame.segment ?? this.#current;
    if (segment === undefined || n == null) {
      if (this.#recent.add(id)) this.inbox.push({ run: () => this.#events.emit("message", { id, data, late: false }) });
      return true;
    }
    const step = this.#positions.advance(segment, n, n);
    if (step === undefined) {
      this.#acks.add(!!frame.ack);
      return true;
    }
    const fresh = this.#recent.add(id);
    const position: Position = { segment, n };
    if (n > step.expected) this.#say("violation", { segment, expected: step.expected, got: n });
    this.inbox.push({
      run: () => (fresh ? this.#events.emit("message", { id, data, position, late: step.late }) : undefined),
      after: () => this.#finished(segment, n, !!frame.ack),
    });
    return true;
  }

  /** Numbers that will never come. */
  gap(frame: GapFrame): void {
    const { from, to, why } = frame;
    const segment = frame.segment ?? this.#current;
    if (segment === undefined) return;
    const step = this.#positions.advance(segment, from, to);
    if (step === undefined) return this.#acks.add(false);
    if (from > step.expected) this.#say("violation", { segment, expected: step.expected, got: from });
    this.inbox.push({
      run: () => this.#events.emit("gap", { segment, from: Math.max(from, step.expected), to, why }),
      after: () => this.#finished(segment, to, false),
    });
  }

  /** An older segment is complete. */
  closed(frame: ClosedFrame): void {
    const { segment, n } = frame;
    const has = this.#positions.has(segment);
    if (has === undefined) return;
    if (has < n) {
      this.#positions.advance(segment, has + 1, n);
      this.#say("violation", { segment, expected: has + 1, got: n + 1 });
    }
    this.inbox.push({
      run: () => undefined,
      after: () => {
        this.#positions.finish(segment, n);
        this.#positions.close(segment);
        // The last word about the segment: it is neither shown to a node nor stored any more.
        this.#acks.flush();
      },
    });
  }

  /** What is to be acknowledged now; the segment is left out where it is the current one. */
  acknowledge(): { n: number; segment?: string }[] {
    return this.#positions.tell().map(({ segment, n }) => (segment === this.#current ? { n } : { n, segment }));
  }

  #finished(segment: string, n: number, urgent: boolean): void {
    this.#positions.finish(segment, n);
    this.#acks.add(urgent);
  }

  #say(type: "resumed", event: Resumed): void;
  #say(type: "violation", event: Violation): void;
  #say(type: "resumed" | "violation", event: Resumed | Violation): void {
    this.inbox.push({ run: () => this.#events.emit(type, event as never) });
  }
}

/** Failed attempts in a row after which one is made without the resume token. Two, because one may be bad luck. */
const FAILURES_MAX = 2;
