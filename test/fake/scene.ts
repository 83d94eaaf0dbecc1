import { nextStep } from "./loop.ts";
import { plannedStep } from "./plan.ts";

/** What a scripted model says, whichever wire it says it on. The model's name is the script. */
export type Scene = {
  thinking?: string;
  text?: string;
  calls?: Call[];
  /** The model declines: what each wire has for that. */
  declined?: string;
};
/** `isCustom`: a call of a custom tool, whose text is `args.input`. `namespace`: of its tool, in Responses. */
export type Call = { id: string; name: string; args: Record<string, unknown>; isCustom?: true; namespace?: string };

/** What a request says, as far as a script looks at it. `results`: of tools, when it ends with some. */
export type Seen = { script: string; raw: string; isFirst: boolean; results: string[] };

export function sceneOf({ script, raw, isFirst, results }: Seen): Scene {
  switch (script) {
    case "mirror":
      return { text: raw };
    case "think":
      return { thinking: "Let me think.", text: isFirst ? "Said think." : raw };
    case "ponder":
      return raw.includes("Go on.") ? { text: raw } : { thinking: "Let me think." };
    case "bare":
      return { thinking: "", text: "Said bare." };
    case "tools":
      return results.length > 0 ? { text: `It is ${results.join(" and ")}.` } : { text: "Let me look.", calls: CALLS };
    case "recall":
      return { calls: [{ ...CALLS[0]!, id: `call_recall_${++recalls}` }] };
    case "loop":
      return nextStep(raw);
    case "plan":
      return plannedStep(raw);
    case "json":
      return { text: '{"city":"Paris","degrees":21}' };
    case "decline":
      return { declined: "I cannot help with that." };
    default:
      return { text: `Said ${script}.` };
  }
}

/** The calls of the script "recall", each of which has an id of its own. */
let recalls = 0;

const CALLS: Call[] = [
  { id: "call_fake_1", name: "get_weather", args: { city: "Paris" } },
  { id: "call_fake_2", name: "get_weather", args: { city: "Rome" } },
];

/** What a script refuses with, before anything is said. Each wire has its own words for the kind. */
export const REFUSALS = {
  refuse: { status: 400, message: "max_tokens is too large" },
  limited: { status: 429, message: "Slow down" },
  broken: { status: 500, message: "Internal trouble" },
} as const satisfies Record<string, { status: number; message: string }>;

export type Refused = keyof typeof REFUSALS;
export const isRefused = (script: string): script is Refused => script in REFUSALS;

/** In every answer of every provider: must never reach a client. */
export const HEADERS = { "set-cookie": "secret=1" };

export const json = (body: unknown, status = 200, headers: Record<string, string> = {}): Response =>
  new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json", ...headers } });

/** Server-sent events; an `Error` among them breaks the connection. */
export function stream(frames: Iterable<string | Error>, pauseMs = 0, headers: Record<string, string> = {}): Response {
  const next = frames[Symbol.iterator]();
  const encoder = new TextEncoder();
  const body = new ReadableStream({
    async pull(controller) {
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
      const { value, done } = next.next();
      if (done) return controller.close();
      return value instanceof Error ? controller.error(value) : controller.enqueue(encoder.encode(value));
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream", ...headers } });
}

/** A text as it comes: in two pieces, so that somebody has to join them. */
export const halves = (text: string): string[] => {
  const middle = Math.ceil(text.length / 2);
  return [text.slice(0, middle), text.slice(middle)].filter((piece) => piece !== "");
};

/** `event` and `data` on their lines; without a name, data alone. */
export const frame = (data: object, event?: string): string =>
  `${event === undefined ? "" : `event: ${event}\n`}data: ${JSON.stringify(data)}\n\n`;
