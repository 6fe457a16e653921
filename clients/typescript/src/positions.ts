// Where a session stands in each of its segments, across connections.
//
//   told ≤ done ≤ has
//
// `has` is what was received: it finds duplicates and jumps. `done` is what the application has handled: it is what
// the client acknowledges and comes back with, so that a message whose handler has not finished is not lost with the
// page. `told` is what the node of this connection knows of `done`.
//
// A segment that the node has closed is kept without being told of any more: where the last acknowledgement was lost
// with its connection, the node sends the end of that segment again, and it has to be recognised.
//
// Segments are older and newer by their names, but that of the welcome is the newest, whatever its name: two nodes that
// did not reach each other may both have had the session, and the one that keeps it may have the smaller name.

import type { Position } from "./frames.js";

/** What a number that was not yet there means. */
export interface Step {
  /** The number that had to come. Where a greater one came, the ones between are missing without a gap. */
  readonly expected: number;
  /** Whether something of a newer segment was received before. */
  readonly late: boolean;
}

/** The positions of one session. */
export class Positions {
  readonly #entries = new Map<string, Entry>();
  #newest = "";
  #current = "";

  /** A connection starts, whose own segment starts after number `n`. */
  open(segment: string, n: number): void {
    this.#current = segment;
    this.begin(segment, n);
  }

  /** A segment starts after number `n`. One that is known already stays as it is. */
  begin(segment: string, n: number): void {
    if (!this.#entries.has(segment)) this.#insert(segment, n);
  }

  /** Numbers `from` to `to` came: a message, or a gap. `undefined` where they all were there before. */
  advance(segment: string, from: number, to: number): Step | undefined {
    const entry = this.#entries.get(segment) ?? this.#insert(segment, 0);
    if (to <= entry.has) {
      // The node sends it again, so it does not know that it is there.
      entry.told = Math.min(entry.told, from - 1);
      return undefined;
    }
    const step = { expected: entry.has + 1, late: this.#age(segment) < this.#age(this.#newest) };
    entry.has = to;
    entry.closed = false;
    if (!step.late) this.#newest = segment;
    return step;
  }

  /** The application has handled everything of a segment up to `n`. Nothing happens where it is not known any more. */
  finish(segment: string, n: number): void {
    const entry = this.#entries.get(segment);
    if (entry !== undefined) entry.done = Math.max(entry.done, n);
  }

  /** The last number of a segment that was received; `undefined` for one that is not known. */
  has(segment: string): number | undefined {
    return this.#entries.get(segment)?.has;
  }

  /** Nothing more comes in a segment. */
  close(segment: string): void {
    const entry = this.#entries.get(segment);
    if (entry !== undefined) entry.closed = true;
  }

  /** All segments are over. */
  clear(): void {
    this.#entries.clear();
    this.#newest = "";
    this.#current = "";
  }

  /** Where the newest open segments stand, at most 4, newest first: what a client comes back with. */
  newest(): Position[] {
    const open = [...this.#entries].filter(([, entry]) => !entry.closed);
    open.sort(([a], [b]) => (this.#age(a) < this.#age(b) ? 1 : -1));
    return open.slice(0, AFTER_MAX).map(([segment, entry]) => ({ segment, n: entry.done }));
  }

  /** A connection starts, whose node was told of these positions. */
  told(positions: readonly Position[]): void {
    for (const [segment, entry] of this.#entries) {
      const known = entry.closed || positions.some((position) => position.segment === segment);
      entry.told = known ? entry.done : 0;
    }
  }

  /** The positions that the node is to be told of, oldest segment first. From now on it knows them. */
  tell(): Position[] {
    const news: Position[] = [];
    for (const [segment, entry] of this.#entries) {
      if (entry.done <= entry.told) continue;
      entry.told = entry.done;
      news.push({ segment, n: entry.done });
    }
    return news.sort((a, b) => (a.segment < b.segment ? -1 : 1));
  }

  #insert(segment: string, n: number): Entry {
    const entry = { has: n, done: n, told: n, closed: false };
    this.#entries.set(segment, entry);
    if (this.#entries.size > SEGMENTS_MAX) {
      const ages = [...this.#entries.keys()].map((known) => this.#age(known));
      this.#entries.delete(ages.sort()[0] as string);
    }
    return entry;
  }

  /** What orders the segments: greater is newer. */
  #age(segment: string): string {
    return segment === this.#current ? NEWEST : segment;
  }
}

interface Entry {
  has: number;
  done: number;
  told: number;
  closed: boolean;
}

/** Above all names of segments, which are hexadecimal digits. */
const NEWEST = "~";
/** Positions in one `after` (docs/PROTOCOL.md, section 3). */
const AFTER_MAX = 4;
/** Segments that are remembered, the oldest of which goes first: some 10 KB. Guess: a client changes its node rarely. */
const SEGMENTS_MAX = 64;
