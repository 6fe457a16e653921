// The ids of the last messages, so that a message that a publisher repeats over another node is handled once.

/** The last 1,024 ids. */
export class RecentIds {
  readonly #ids = new Set<string>();

  /** Remembers an id. False where it was there already. */
  add(id: string): boolean {
    if (this.#ids.has(id)) return false;
    this.#ids.add(id);
    // A Set iterates in the order of insertion.
    if (this.#ids.size > IDS_MAX) this.#ids.delete(this.#ids.values().next().value as string);
    return true;
  }
}

/** docs/PROTOCOL.md, section 3. An id has at most 64 characters: some 100 KB in all. */
const IDS_MAX = 1024;
