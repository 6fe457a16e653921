// When to acknowledge: at once where the publisher waits, else 10 ms after the first message that is not
// acknowledged yet, or with the 16th. The 10 ms run from the first one and not from the last, so nothing waits longer.

import type { Clock } from "./clock.js";

/** Gathers what is to be acknowledged. */
export class Acks {
  readonly #clock: Clock;
  readonly #flush: () => void;
  #waiting = 0;
  #timer: unknown;

  /** `flush` acknowledges everything that was handled. */
  constructor(clock: Clock, flush: () => void) {
    this.#clock = clock;
    this.#flush = flush;
  }

  /** One more message was handled. `urgent`: its publisher waits. */
  add(urgent: boolean): void {
    this.#waiting += 1;
    if (urgent || this.#waiting >= BATCH) this.flush();
    else this.#timer ??= this.#clock.start(DELAY_MS, () => this.flush());
  }

  /** Acknowledges now. */
  flush(): void {
    this.#clock.stop(this.#timer);
    this.#timer = undefined;
    this.#waiting = 0;
    this.#flush();
  }
}

/** Milliseconds from a message to its acknowledgement (docs/PROTOCOL.md, section 3). */
const DELAY_MS = 10;
/** Messages of one acknowledgement (docs/PROTOCOL.md, section 3). */
const BATCH = 16;
