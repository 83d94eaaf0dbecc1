import { type Ask, bifrostCall, litellmCall, plainCall, portkeyCall, rhoneCall, type Wires } from "./asks.ts";
import { agentFor, type Call, exchange } from "./client.ts";
import type { Send } from "./load.ts";
import type { Scene } from "./scene.ts";
import { openSocket } from "./socket.ts";

/** A way to get a scene's answer: one line of the tables. */
export type Way = {
  id: string;
  label: string;
  /** Whose process is measured. "upstream": nobody's, the call goes straight to the provider. */
  server: string;
  /** Its memory is looked at while it holds many streams. */
  holdsStreams?: true;
  prepare: (wires: Wires, scene: Scene, plan: Plan) => Promise<Lanes>;
};

/** `more`: members that every request has beside the usual ones. */
export type Plan = { calls: number; concurrency: number; more?: object | undefined };

/** `sessions`: how many were begun for the calls. */
export type Lanes = { send: Send; close: () => void; sessions?: number };

/** How many turns a session takes before the next one is used: its history stays short, as do the requests it makes. */
const TURNS = 8;

export const WAYS: readonly Way[] = [
  { id: "direct", label: "straight to the provider", server: "upstream", prepare: plain(plainCall) },
  { id: "floor", label: "bare workerd proxy", server: "floor", holdsStreams: true, prepare: plain(plainCall) },
  {
    id: "rhone",
    label: "Rhone, stateless relay",
    server: "rhone",
    holdsStreams: true,
    prepare: plain(rhoneCall("stateless")),
  },
  {
    id: "rhone-translated",
    label: "Rhone, stateless, Chat → Anthropic",
    server: "rhone",
    holdsStreams: true,
    prepare: plain(rhoneCall("stateless", "benchanth")),
  },
  { id: "rhone-cold", label: "Rhone, stateful, new session", server: "rhone", prepare: plain(rhoneCall("stateful")) },
  {
    id: "rhone-warm",
    label: "Rhone, stateful, warm session",
    server: "rhone",
    holdsStreams: true,
    prepare: inSessions,
  },
  { id: "rhone-socket", label: "Rhone, stateful, WebSocket", server: "rhone", prepare: openSocket },
  {
    id: "portkey",
    label: "Portkey, relay",
    server: "portkey",
    holdsStreams: true,
    prepare: plain(portkeyCall("openai")),
  },
  {
    id: "portkey-translated",
    label: "Portkey, Chat → Anthropic",
    server: "portkey",
    prepare: plain(portkeyCall("anthropic")),
  },
  {
    id: "litellm",
    label: "LiteLLM, relay",
    server: "litellm",
    holdsStreams: true,
    prepare: plain(litellmCall("openai")),
  },
  {
    id: "litellm-translated",
    label: "LiteLLM, Chat → Anthropic",
    server: "litellm",
    prepare: plain(litellmCall("anthropic")),
  },
  {
    id: "bifrost",
    label: "Bifrost, relay",
    server: "bifrost",
    holdsStreams: true,
    prepare: plain(bifrostCall("openai")),
  },
  {
    id: "bifrost-translated",
    label: "Bifrost, Chat → Anthropic",
    server: "bifrost",
    prepare: plain(bifrostCall("anthropic")),
  },
];

/** The same call again and again. */
function plain(ask: Ask): Way["prepare"] {
  return async (wires, scene, { concurrency, more }) => {
    const agent = agentFor(concurrency);
    const call = ask(wires, scene, more);
    return { send: () => exchange(call, { agent, ending: endingOf(scene) }), close: () => agent.destroy() };
  };
}

/** Each call is the next turn of a session that is in memory: those that the calls need are begun here. */
async function inSessions(wires: Wires, scene: Scene, { calls, concurrency, more }: Plan): Promise<Lanes> {
  const agent = agentFor(concurrency);
  const count = Math.ceil(calls / TURNS) + concurrency;
  const sessions: string[] = [];
  const first = rhoneCall("stateful")(wires, { kind: "whole", bytes: 1024 });
  const begin = async (): Promise<void> => {
    while (sessions.length < count) sessions.push(await sessionOf(first, agent));
  };
  await Promise.all(Array.from({ length: concurrency }, begin));
  const call = rhoneCall("stateful")(wires, scene, more);
  // A lane keeps to its session until that has had its turns: two calls at once in one session would wait for each other.
  const lanes = Array.from({ length: concurrency }, () => ({ session: sessions.pop()!, turns: 0 }));
  const send: Send = (at) => {
    const lane = lanes[at]!;
    if (lane.turns++ >= TURNS) Object.assign(lane, { session: sessions.pop() ?? lane.session, turns: 1 });
    const headers = { ...call.headers, "x-rhone-session-id": lane.session };
    return exchange({ ...call, headers }, { agent, ending: endingOf(scene) });
  };
  return { send, close: () => agent.destroy(), sessions: count };
}

/** Makes a stateful call that begins a session; gives the session's id. */
export async function sessionOf(call: Call, agent: ReturnType<typeof agentFor>): Promise<string> {
  let id = "";
  await exchange(call, { agent, onBody: (text) => (id = /"session_id":"([^"]+)"/.exec(text)?.[1] ?? "") });
  if (id === "") throw new Error("the gateway began no session");
  return id;
}

/** What a stream must end with to count as whole. */
export const endingOf = (scene: Scene): string => (scene.kind === "stream" ? "[DONE]" : "}");
