// The frames of `pushmesh.v1` (docs/PROTOCOL.md, section 3.3): their types, and the reading of those that come from
// the node. What a frame means is not decided here. Unknown fields and unknown types are ignored.

import { decodeBase64 } from "./base64.js";

/** A place in what a session was sent: everything of `segment` up to and including `n`. */
export interface Position {
  /** One ownership period of the session. Opaque; texts of one session compare in the order of the segments. */
  readonly segment: string;
  /** Number of a message within the segment, from 1. 0 is before the first. */
  readonly n: number;
}

/** Messages that the cluster can not give back. */
export interface Missing {
  /** The segment that they belong to. */
  readonly segment: string;
  /** The last number that is known to be complete; what came after it may be missing. */
  readonly after: number;
  /** `replicas_gone`, or a later version's word. */
  readonly why: string;
}

/** How much of what was sent meanwhile a returning session gets. */
export type ResumeState = "complete" | "pending" | "partial" | "none";

/** What the application keeps with a session at its nodes, and the login of the token as `sid`. */
export type Attributes = Readonly<Record<string, unknown>>;

/** The first frame of a connection. The fields from `keep` on are absent where the node does not keep the session. */
export interface WelcomeFrame {
  readonly type: "welcome";
  readonly user: string;
  readonly device: string;
  readonly node: string;
  readonly session: string;
  readonly resume: string;
  readonly keep?: number | null;
  readonly window?: number | null;
  readonly segment?: string | null;
  readonly n?: number | null;
  readonly resumed?: ResumeState | null;
  readonly missing?: readonly Missing[] | null;
  readonly attributes?: Attributes | null;
}

/** What became of a resume that was `pending`. */
export interface ResumedFrame {
  readonly type: "resumed";
  readonly resumed: ResumeState;
  readonly missing?: readonly Missing[] | null;
}

/** A pushed message, its payload decoded. */
export interface MessageFrame {
  readonly type: "message";
  readonly id: string;
  readonly data: string | Uint8Array;
  readonly n?: number | null;
  readonly segment?: string | null;
  readonly ack?: boolean | null;
}

/** Numbers that will never come. */
export interface GapFrame {
  readonly type: "gap";
  readonly segment?: string | null;
  readonly from: number;
  readonly to: number;
  readonly why: string;
}

/** A segment that is complete up to `n`. */
export interface ClosedFrame {
  readonly type: "closed";
  readonly segment: string;
  readonly n: number;
}

/** The answer to a ping. */
export interface PongFrame {
  readonly type: "pong";
}

/** The token expires in so many milliseconds: the client may send another one. */
export interface ExpiringFrame {
  readonly type: "expiring";
  readonly in_ms: number;
}

/** The token that was sent counts from now on, for so many milliseconds. */
export interface RenewedFrame {
  readonly type: "renewed";
  readonly in_ms: number;
}

/** The node did not understand a frame. */
export interface ErrorFrame {
  readonly type: "error";
  readonly code: string;
  readonly message: string;
}

/** Everything that a node sends. */
export type NodeFrame =
  | WelcomeFrame
  | ResumedFrame
  | MessageFrame
  | GapFrame
  | ClosedFrame
  | PongFrame
  | ExpiringFrame
  | RenewedFrame
  | ErrorFrame;

/** Everything that a client sends. */
export type ClientFrame =
  | { readonly type: "ack"; readonly n: number; readonly segment?: string }
  | { readonly type: "message"; readonly data: string }
  | { readonly type: "message"; readonly base64: string }
  | { readonly type: "token"; readonly token: string }
  | { readonly type: "ping" }
  | { readonly type: "bye" };

/**
 * Reads a frame of the node. `undefined` where its type is not known.
 * Throws where it is no JSON object, or where a field that the client relies on is missing or of another type.
 */
export function parseFrame(text: unknown): NodeFrame | undefined {
  if (typeof text !== "string") throw new TypeError("the frame is not text");
  const frame = JSON.parse(text);
  if (typeof frame?.type !== "string") throw new TypeError("the frame has no type");
  const shape = Object.hasOwn(SHAPES, frame.type) ? SHAPES[frame.type] : undefined;
  if (shape === undefined) return undefined;
  for (const [field, type] of Object.entries(shape)) {
    if (!fits(frame[field], type)) throw new TypeError(`${field} of a ${frame.type} frame is missing or of another type`);
  }
  if (frame.type !== "message") return frame;
  const data = frame.base64 == null ? frame.data : decodeBase64(frame.base64);
  if (data == null) throw new TypeError("a message frame has no data");
  return { ...frame, data };
}

function fits(value: unknown, type: FieldType): boolean {
  if (type.endsWith("?")) return value == null || fits(value, type.slice(0, -1) as FieldType);
  if (type === "number") return Number.isSafeInteger(value) && (value as number) >= 0;
  return Array.isArray(value) ? type === "list" : typeof value === type;
}

type FieldType = "string" | "number" | "list" | "string?" | "number?" | "list?" | "object?";

/** The fields that the client relies on. `?`: may be missing or null. */
const SHAPES: Record<string, Record<string, FieldType>> = {
  welcome: {
    user: "string",
    device: "string",
    node: "string",
    session: "string",
    resume: "string",
    keep: "number?",
    window: "number?",
    segment: "string?",
    n: "number?",
    resumed: "string?",
    missing: "list?",
    attributes: "object?",
  },
  resumed: { resumed: "string", missing: "list?" },
  message: { id: "string", data: "string?", base64: "string?", n: "number?", segment: "string?" },
  gap: { segment: "string?", from: "number", to: "number", why: "string" },
  closed: { segment: "string", n: "number" },
  pong: {},
  expiring: { in_ms: "number" },
  renewed: { in_ms: "number" },
  error: { code: "string", message: "string" },
};
