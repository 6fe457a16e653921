// Binary payloads in JSON frames: base64 with the standard alphabet and padding (RFC 4648, section 4).

/** The bytes of a base64 text. Throws where it is none. */
export function decodeBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}

/** The base64 text of bytes. */
export function encodeBase64(bytes: Uint8Array): string {
  let chars = "";
  for (let start = 0; start < bytes.length; start += CHUNK_BYTES) {
    chars += String.fromCharCode(...bytes.subarray(start, start + CHUNK_BYTES));
  }
  return btoa(chars);
}

/** Arguments of one call: engines take at least 65,536. */
const CHUNK_BYTES = 0x8000;
