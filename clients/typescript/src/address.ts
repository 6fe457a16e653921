// The URL of an attempt to connect (docs/PROTOCOL.md, section 3.1).

import type { Position } from "./frames.js";
import type { Config } from "./options.js";

/** What a client comes back with. */
export interface Return {
  /** The resume token. */
  readonly resume: string;
  /** What the application has, newest segment first. */
  readonly after: readonly Position[];
}

/** The URL under which a node is asked for a session. */
export function address(node: URL, config: Config, token: string | undefined, back: Return | undefined): string {
  const url = new URL(node);
  url.protocol = url.protocol.replace("http", "ws");
  url.pathname = `${url.pathname.replace(/\/$/, "")}/v1/ws`;
  url.hash = "";
  const after = back?.after.map(({ segment, n }) => `${segment}.${n}`).join();
  const { user, device, keep } = config;
  for (const [name, value] of Object.entries({ token, user, device, keep, resume: back?.resume, after })) {
    if (value) url.searchParams.set(name, String(value));
  }
  return url.href;
}
