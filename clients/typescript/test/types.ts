// What an application sees of the types, checked by the compiler and never run.

import { connect, sessionStorageState } from "../dist/index.js";
import type { Attributes, Client, Message, Missing, Refusal, RefusalCode, State } from "../dist/index.js";

const client: Client = connect({
  urls: ["wss://a.example", "/push"],
  token: async () => "token",
  device: "phone",
  keep: 120,
  storage: sessionStorageState("pushmesh:42"),
  WebSocket,
});
const off: () => void = client.on("message", async ({ id, data, position, late }) => {
  const text: string = typeof data === "string" ? data : `${data.byteLength} bytes`;
  console.log(id, text, position?.segment, position?.n, late);
});
client.on("message", (message: Message) => console.log(message.id));
client.on("resumed", ({ state, missing }) => {
  const first: Missing | undefined = missing[0];
  if (state === "partial") console.log(first?.segment, first?.after, first?.why);
});
client.on("open", ({ attributes }) => {
  const welcomed: Attributes = attributes;
  console.log(typeof welcomed["theme"] === "string" ? welcomed["theme"] : undefined);
  // @ts-expect-error what a node keeps may be anything
  const theme: string = attributes["theme"];
  console.log(theme);
});
client.on("down", ({ code, reason, retryInMs }) => console.log(code, reason, retryInMs));
client.on("closed", ({ code, reason, refusal }) => {
  const why: Refusal | undefined = refusal;
  const word: RefusalCode = why?.code ?? "unauthorized";
  if (word === "forbidden") console.log(code, reason, why?.message);
  // @ts-expect-error most ends are no refusal
  console.log(refusal.code);
});
client.on("down", ({ refusal }) => console.log(refusal?.code === "session_exists", refusal?.code === "a later word"));
const sent: boolean = client.send("text") || client.send(new Uint8Array(1));
const state: "connecting" | "open" | "waiting" | "closed" = client.state;
const stored: State = { resume: "R", keep: 120, positions: [{ segment: "s", n: 1 }] };
console.log(off, sent, state, stored);

// @ts-expect-error there is no such event
client.on("messages", () => {});
// @ts-expect-error a message has no such field
client.on("message", ({ text }) => console.log(text));
// @ts-expect-error an object is no payload
client.send({ type: "chat" });
