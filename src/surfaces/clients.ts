import { isObject, type Json, tryParseJson } from "../wire/json.ts";
import { readOption, type RequestText } from "./request.ts";

/**
 * The conversation that a request belongs to, as its client names it. `client`: the program; `recognizedBy`: the header or
 * member that has the id. `agent`: the id of a sub-agent; absent in the main conversation.
 */
export type Conversation = { client: string; id: string; recognizedBy: string; agent?: string };

/** `recognizedBy` of a conversation that its client does not name: the key asks for recognition by the words. */
export const BY_TRANSCRIPT = "transcript";

type NamedRequest = { headers: Headers; body: Pick<RequestText, "text" | "members"> };

/** Where a client has an id: the name of the place, and how it is read. */
type Place = { name: string; read: (request: NamedRequest) => Json | undefined };

type Client = {
  name: string;
  /** Headers of which one shows the client. Absent: any client. */
  shownBy?: readonly (readonly [header: string, value: RegExp])[];
  conversation: readonly Place[];
  agent?: Place;
  /** The main conversation has an agent's id, too: its own. */
  namesMainAgent?: true;
};

const header = (name: string): Place => ({ name, read: ({ headers }) => headers.get(name) ?? undefined });

/** Claude Code has a JSON text there: `{"device_id", "account_uuid", "session_id"}`. */
const CLAUDE_USER: Place = {
  name: "metadata.user_id",
  read: ({ body }) => {
    const metadata = readOption(body, "metadata");
    const user =
      isObject(metadata) && typeof metadata.user_id === "string" ? tryParseJson(metadata.user_id) : undefined;
    return isObject(user) ? user.session_id : undefined;
  },
};

/** A bucket of the provider's cache, of which Codex alone has one for each conversation. */
const CODEX_CACHE: Place = { name: "prompt_cache_key", read: ({ body }) => readOption(body, "prompt_cache_key") };

/**
 * The clients that name their conversations, as observed: Claude Code 2.1, Codex 0.171, opencode 1.18. The gateway's own
 * headers are for all others; they are read first.
 */
const CLIENTS: readonly Client[] = [
  { name: "other", conversation: [header("x-rhone-conversation-id")], agent: header("x-rhone-agent-id") },
  {
    name: "claude-code",
    shownBy: [["user-agent", /^claude-cli\//i]],
    conversation: [header("x-claude-code-session-id"), CLAUDE_USER],
    agent: header("x-claude-code-agent-id"),
  },
  {
    name: "codex",
    shownBy: [
      ["user-agent", /^codex/i],
      ["originator", /^codex/i],
    ],
    conversation: [header("session-id"), CODEX_CACHE],
    agent: header("thread-id"),
    namesMainAgent: true,
  },
  {
    name: "opencode",
    shownBy: [["user-agent", /^opencode\//i]],
    // A sub-agent has an id of its own, and that of the conversation as its parent's.
    conversation: [header("x-parent-session-id"), header("x-session-id")],
    agent: header("x-session-id"),
    namesMainAgent: true,
  },
];

/** The conversation of a request; `undefined` if its client names none. */
export function findConversation(headers: Headers, body: NamedRequest["body"]): Conversation | undefined {
  const request = { headers, body };
  for (const { name: client, shownBy, conversation, agent: agentPlace, namesMainAgent } of CLIENTS) {
    if (shownBy?.some(([name, value]) => value.test(headers.get(name) ?? "")) === false) continue;
    for (const place of conversation) {
      const id = readId(place, request);
      if (id === undefined) continue;
      const agent = agentPlace && readId(agentPlace, request);
      const isMain = agent === undefined || (namesMainAgent === true && agent === id);
      return { client, id, recognizedBy: place.name, ...(!isMain && { agent }) };
    }
  }
  return undefined;
}

function readId({ read }: Place, request: NamedRequest): string | undefined {
  const id = read(request);
  return typeof id === "string" && id.trim() !== "" ? id : undefined;
}
