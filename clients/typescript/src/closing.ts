// What a node says with a close code and its reason (docs/PROTOCOL.md, section 3.5). What the client does then is
// decided by the client.
//
// A browser hides the HTTP status of a refused handshake. So a node completes the handshake and closes at once, with
// 4000 plus that status and the reason `CODE: MESSAGE`, of which CODE is the code of an error of the API.

/** The node is stopping. */
export const RESTARTING = 1012;
/** The node takes no more clients now. */
export const TRY_LATER = 1013;
/** Another connection has the session. */
export const SUPERSEDED = 4001;
/** A backend has disconnected the session. */
export const KICKED = 4002;
/** The token is past its `exp`. */
export const TOKEN_EXPIRED = 4003;
/** Refused: the URL is wrong, or the resume token is not one of this user and this cluster. */
export const BAD_REQUEST = 4400;
/** Refused: there is no token, or it is wrong or has expired. */
export const UNAUTHORIZED = 4401;
/** Refused: the origin may not connect, or a token is bound to another user or device. */
export const FORBIDDEN = 4403;
/** Refused: the user has all its sessions, or somebody asks too often. */
export const TOO_MANY = 4429;

/** The code of an error of the API, or a later version's word. */
export type RefusalCode =
  | "bad_request"
  | "bad_resume"
  | "unauthorized"
  | "forbidden"
  | "session_exists"
  | "too_many_sessions"
  | "too_many_requests"
  // `string` alone would hide the words above from editors.
  | (string & {});

/** Why a node refused an attempt. */
export interface Refusal {
  /** For programs. */
  readonly code: RefusalCode;
  /** For people. Its end may be missing, because a close frame has no room for more. */
  readonly message: string;
}

/** Whether a close code says that the attempt was refused. */
export function isRefusal(code: number): boolean {
  return code >= 4400 && code <= 4599;
}

/** Why an attempt was refused; `undefined` for other ends, and where the reason has another form. */
export function readRefusal(code: number, reason: string): Refusal | undefined {
  const [, word, message] = (isRefusal(code) && /^([a-z_]+): ?(.*)$/s.exec(reason)) || [];
  return word === undefined || message === undefined ? undefined : { code: word, message };
}

/** The milliseconds in a reason `{"retry_ms":1234}`; `undefined` where it is none, or beyond any that nodes send. */
export function retryMs(reason: string): number | undefined {
  try {
    const ms: unknown = JSON.parse(reason)?.retry_ms;
    return typeof ms === "number" && ms >= 0 && ms <= RETRY_MS_MAX ? ms : undefined;
  } catch {
    return undefined;
  }
}

/** Nodes send at most 3,000 ms, and where clients connect too often an hour more; a mistake must not keep a client away for a day. */
const RETRY_MS_MAX = 3_603_000;
