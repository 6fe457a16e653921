// What waits for the application: one thing after another, in the order of arrival. The next one starts when the
// promises of the one before have settled, so that an asynchronous handler sees an ordered world too. Without a
// handler for messages nothing starts.

/** One thing to tell the application. */
export interface Task {
  /** Calls the handlers. Gives a promise where the next task has to wait; it never rejects. */
  readonly run: () => Promise<void> | undefined;
  /** What follows when the handlers are done. */
  readonly after?: () => void;
}

/** A queue of tasks that runs them one at a time. */
export class Inbox {
  readonly #ready: () => boolean;
  #tasks: Task[] = [];
  #running = false;

  /** `ready` says whether there is somebody to hand messages to. */
  constructor(ready: () => boolean) {
    this.#ready = ready;
  }

  /** Whether as much waits as may wait. */
  get full(): boolean {
    return this.#tasks.length >= TASKS_MAX;
  }

  /** Adds a task, and runs it now if nothing is before it. */
  push(task: Task): void {
    this.#tasks.push(task);
    this.run();
  }

  /** Runs what can run. To be called when `ready` turns true. */
  run(): void {
    while (!this.#running && this.#ready()) {
      const task = this.#tasks.shift();
      if (task === undefined) return;
      this.#running = true;
      const waits = task.run();
      if (waits !== undefined) {
        void waits.then(() => {
          this.#finish(task);
          this.run();
        });
        return;
      }
      this.#finish(task);
    }
  }

  /** Drops what has not started. */
  clear(): void {
    this.#tasks = [];
  }

  #finish(task: Task): void {
    this.#running = false;
    task.after?.();
  }
}

/** Four windows of a node: with a window of 256 this bound is met only by a session that is not kept. */
const TASKS_MAX = 1024;
