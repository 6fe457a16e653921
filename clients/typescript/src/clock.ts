// Time as the client sees it. Everything that waits takes a Clock, so that tests move time by hand.

/** Tells the time and runs things later. */
export interface Clock {
  /** Milliseconds of Unix time. Only differences are used. */
  now(): number;
  /** Runs `run` once, `ms` milliseconds from now, unless the timer that it gives is stopped. */
  start(ms: number, run: () => void): unknown;
  /** Stops a timer. One that has fired, or `undefined`, is left as it is. */
  stop(timer: unknown): void;
}

/**
 * The clock of the machine. It goes on while a laptop sleeps, which `performance.now()` does not everywhere: after
 * sleep a silent connection is to be found at once.
 */
export const systemClock: Clock = {
  now: () => Date.now(),
  start: (ms, run) => setTimeout(run, ms),
  stop: (timer) => clearTimeout(timer as number | undefined),
};
