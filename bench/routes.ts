import type { Answer } from "./answers.ts";
import { agentFor, type Call, type Exchange, exchange } from "./client.ts";
import type { Callers, LoadPlan, Send } from "./load.ts";
import {
  type CallBuilder,
  buildLitellmCall,
  buildPlainCall,
  buildPortkeyCall,
  buildRhoneCall,
  buildTensorzeroCall,
  type Origins,
} from "./requests.ts";
import { openSocket } from "./socket.ts";

/** A way from a client to the provider's answer: one line of the tables. */
export type Route = {
  id: string;
  label: string;
  /** The server whose process is measured. "upstream": none, the call goes directly to the provider. */
  server: string;
  /** Its memory is measured while it holds many streams. */
  holdsStreams?: true;
  /** Measured only with requests that have a long transcript. */
  needsTranscript?: true;
  prepare: (origins: Origins, answer: Answer, plan: LoadPlan) => Promise<Callers>;
};

/** Turns of a session before the next session is used: its history stays short, and so do its requests to the provider. */
const TURNS = 8;

export const ROUTES: readonly Route[] = [
  { id: "direct", label: "direct to the provider", server: "upstream", prepare: repeatCall(buildPlainCall) },
  {
    id: "proxy",
    label: "bare workerd proxy",
    server: "proxy",
    holdsStreams: true,
    prepare: repeatCall(buildPlainCall),
  },
  {
    id: "rhone",
    label: "Rhone, stateless relay",
    server: "rhone",
    holdsStreams: true,
    prepare: repeatCall(buildRhoneCall("stateless")),
  },
  {
    id: "rhone-translated",
    label: "Rhone, stateless, Chat → Anthropic",
    server: "rhone",
    holdsStreams: true,
    prepare: repeatCall(buildRhoneCall("stateless", { provider: "benchanth" })),
  },
  {
    id: "rhone-observed",
    label: "Rhone, stateless, shield observes",
    server: "rhone",
    prepare: repeatCall(buildRhoneCall("stateless", { rhone: { safety: { mode: "observe" } } })),
  },
  {
    id: "rhone-shielded",
    label: "Rhone, stateless, shield enforces on both sides",
    server: "rhone",
    prepare: repeatCall(buildRhoneCall("stateless", { rhone: { safety: { mode: "enforce" } } })),
  },
  {
    id: "rhone-cold",
    label: "Rhone, stateful, new session",
    server: "rhone",
    prepare: repeatCall(buildRhoneCall("stateful")),
  },
  {
    id: "rhone-warm",
    label: "Rhone, stateful, warm session",
    server: "rhone",
    holdsStreams: true,
    prepare: callInSessions,
  },
  {
    id: "rhone-resent",
    label: "Rhone, stateful, transcript resent",
    server: "rhone",
    needsTranscript: true,
    prepare: resendTranscript(buildRhoneCall("stateful"), (session) =>
      session === undefined ? {} : { "x-rhone-session-id": session },
    ),
  },
  {
    id: "rhone-conversation",
    label: "Rhone, a conversation of a coding agent",
    server: "rhone",
    needsTranscript: true,
    prepare: resendTranscript(buildRhoneCall(), (_, conversation) => ({ "x-rhone-conversation-id": conversation })),
  },
  { id: "rhone-socket", label: "Rhone, stateful, WebSocket", server: "rhone", prepare: openSocket },
  {
    id: "portkey",
    label: "Portkey, relay",
    server: "portkey",
    holdsStreams: true,
    prepare: repeatCall(buildPortkeyCall("openai")),
  },
  {
    id: "portkey-translated",
    label: "Portkey, Chat → Anthropic",
    server: "portkey",
    prepare: repeatCall(buildPortkeyCall("anthropic")),
  },
  {
    id: "litellm",
    label: "LiteLLM, relay",
    server: "litellm",
    holdsStreams: true,
    prepare: repeatCall(buildLitellmCall("openai")),
  },
  {
    id: "litellm-translated",
    label: "LiteLLM, Chat → Anthropic",
    server: "litellm",
    prepare: repeatCall(buildLitellmCall("anthropic")),
  },
  {
    id: "tensorzero",
    label: "TensorZero, relay",
    server: "tensorzero",
    holdsStreams: true,
    prepare: repeatCall(buildTensorzeroCall),
  },
];

/** Makes the same call again and again. */
function repeatCall(build: CallBuilder): Route["prepare"] {
  return async (origins, answer, { concurrency, more }) => {
    const agent = agentFor(concurrency);
    const call = build(origins, answer, more);
    return { send: () => exchange(call, { agent, ending: endingOf(answer) }), close: () => agent.destroy() };
  };
}

/** Makes each call as the next turn of a session in memory. The sessions are started here. */
async function callInSessions(
  origins: Origins,
  answer: Answer,
  { calls, concurrency, more }: LoadPlan,
): Promise<Callers> {
  const agent = agentFor(concurrency);
  const count = Math.ceil(calls / TURNS) + concurrency;
  const sessions: string[] = [];
  const first = buildRhoneCall("stateful")(origins, { kind: "whole", bytes: 1024 });
  const startSessions = async (): Promise<void> => {
    while (sessions.length < count) sessions.push(await startSession(first, agent));
  };
  await Promise.all(Array.from({ length: concurrency }, startSessions));
  const call = buildRhoneCall("stateful")(origins, answer, more);
  // A caller has its session to itself: two simultaneous calls in one session would wait for each other.
  const states = Array.from({ length: concurrency }, () => ({ session: sessions.pop()!, turns: 0 }));
  const send: Send = (caller) => {
    const state = states[caller]!;
    if (state.turns++ >= TURNS) Object.assign(state, { session: sessions.pop() ?? state.session, turns: 1 });
    const headers = { ...call.headers, "x-rhone-session-id": state.session };
    return exchange({ ...call, headers }, { agent, ending: endingOf(answer) });
  };
  return { send, close: () => agent.destroy(), sessions: count };
}

/** Calls of one session before the next one: each is as long as one of the first, and two messages longer. */
const RESENT_CALLS = 40;

/**
 * Makes calls as a coding agent does: each sends the whole transcript, with the last answer and a question. `nameOf`: headers
 * that name the session which the calls before have started, or the conversation.
 */
function resendTranscript(
  build: CallBuilder,
  nameOf: (session: string | undefined, conversation: string) => Record<string, string>,
): Route["prepare"] {
  return (origins, answer, plan) =>
    startSenders({ build: (more) => build(origins, answer, more), nameOf }, answer, plan);
}

type Resending = {
  build: (more: object) => Call;
  nameOf: (session: string | undefined, conversation: string) => Record<string, string>;
};

async function startSenders(
  { build, nameOf }: Resending,
  answer: Answer,
  { concurrency, more = {} }: LoadPlan,
): Promise<Callers> {
  const agent = agentFor(concurrency);
  const { messages: initial } = more as { messages: readonly object[] };
  type Sender = { session?: string; conversation: string; messages: object[]; calls: number };
  const step = async (sender: Sender): Promise<Exchange> => {
    const { session, conversation, messages } = sender;
    const call = build({ ...more, messages });
    const headers = { ...call.headers, ...nameOf(session, conversation) };
    let body = "";
    const onBody = (text: string): void => void (body = text);
    const exchanged = await exchange({ ...call, headers }, { agent, ending: endingOf(answer), onBody });
    const { choices, rhone } = JSON.parse(body) as SessionAnswer;
    sender.session = rhone.session_id;
    messages.push(choices[0]!.message, { role: "user", content: `Go on with step ${sender.calls++}.` });
    return exchanged;
  };
  const start = async (): Promise<Sender> => {
    const sender: Sender = { conversation: crypto.randomUUID(), messages: [...initial], calls: 0 };
    // The first call creates the session, the second one is the first whose transcript is known.
    for (let i = 0; i < 2; i++) await step(sender);
    return sender;
  };
  const senders = await Promise.all(Array.from({ length: concurrency }, start));
  const send: Send = async (caller) => {
    if (senders[caller]!.calls > RESENT_CALLS) senders[caller] = await start();
    return await step(senders[caller]!);
  };
  return { send, close: () => agent.destroy(), sessions: concurrency };
}

type SessionAnswer = { choices: { message: object }[]; rhone: { session_id: string } };

/** Makes a stateful call that starts a session, and returns the session's id. */
export async function startSession(call: Call, agent: ReturnType<typeof agentFor>): Promise<string> {
  let id = "";
  await exchange(call, { agent, onBody: (text) => (id = /"session_id":"([^"]+)"/.exec(text)?.[1] ?? "") });
  if (id === "") throw new Error("the gateway started no session");
  return id;
}

/** The text that a complete answer ends with. */
export const endingOf = (answer: Answer): string => (answer.kind === "stream" ? "[DONE]" : "}");
