// Pauses before attempts to connect: exponential backoff with full jitter, as in "Exponential Backoff And Jitter"
// (AWS Architecture Blog, 2015), which has clients of a node that died come back spread over the whole pause.

/** The pauses of one client. */
export class Backoff {
  readonly #random: () => number;
  #exponent = 0;

  /** `random` gives a number from 0 up to, and not including, 1. */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** The next pause in whole milliseconds: random, from 0 to min(30 s, 250 ms × 2^n) for the n-th since the reset. */
  next(): number {
    const ceiling = Math.min(CAP_MS, BASE_MS * 2 ** this.#exponent);
    this.#exponent = Math.min(this.#exponent + 1, EXPONENT_MAX);
    return Math.floor(this.#random() * (ceiling + 1));
  }

  /** A pause as the first one, which does not make the next one longer. */
  short(): number {
    return Math.floor(this.#random() * (BASE_MS + 1));
  }

  /** The next pause is a short one again. */
  reset(): void {
    this.#exponent = 0;
  }
}

/** Ceiling of the first pause in milliseconds: a healthy node takes a client back before a person notices. Guess. */
const BASE_MS = 250;
/** Ceiling of all pauses in milliseconds: half a minute of patience after an outage ends. Guess. */
const CAP_MS = 30_000;
/** 250 ms × 2^7 is above the cap, so more changes nothing. */
const EXPONENT_MAX = 7;
