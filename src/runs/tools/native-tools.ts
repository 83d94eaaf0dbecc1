import { fetchBounded, type OutboundNetwork } from "../../outbound/bounded-fetch.ts";
import { decodeUtf8 } from "../../wire/bytes.ts";
import { type JsonObject, stringifyMember, stringOf } from "../../wire/json.ts";
import { textOfHtml } from "./web-page.ts";

/** What a tool gives the model. `isPassing`: an error that another try may not meet. */
export type ToolOutput = { text: string; isError: boolean; isPassing?: boolean };

/** A tool that the gateway itself runs. All of them only read. */
type NativeTool = {
  description: string;
  parameters: JsonObject;
  run: (args: JsonObject, context: NativeContext) => Promise<ToolOutput> | ToolOutput;
};

/** `hosts`: the only ones that may be fetched; absent: any public one. */
export type NativeContext = {
  now: number;
  hosts: readonly string[] | undefined;
  network: OutboundNetwork;
  signal: AbortSignal;
};

/** Bytes of a page, decompressed. */
const MAX_PAGE_BYTES = 5 * 1024 * 1024;
const TEXT_TYPES = /^(?:text\/|application\/(?:json|xml|javascript|x-ndjson|yaml|toml)|[^;]+\+(?:json|xml)\b)/i;

export const NATIVE_TOOLS = {
  time: {
    description: "Returns the current date and time.",
    parameters: {
      type: "object",
      properties: { time_zone: { type: "string", description: "An IANA name, such as Europe/Paris. Default: UTC." } },
      additionalProperties: false,
    },
    run: ({ time_zone: zone }, { now }) => tellTime(stringOf(zone) ?? "UTC", now),
  },
  web_fetch: {
    description: "Fetches a public web page and returns its text.",
    parameters: {
      type: "object",
      properties: { url: { type: "string", description: "An https:// URL" } },
      required: ["url"],
      additionalProperties: false,
    },
    run: ({ url }, context) => fetchPage(stringifyMember(url), context),
  },
} as const satisfies Record<string, NativeTool>;

export type NativeToolName = keyof typeof NATIVE_TOOLS;

function tellTime(zone: string, now: number): ToolOutput {
  try {
    const local = new Intl.DateTimeFormat("en-CA", {
      timeZone: zone,
      dateStyle: "full",
      timeStyle: "long",
      hourCycle: "h23",
    }).format(now);
    return { text: JSON.stringify({ utc: new Date(now).toISOString(), local, time_zone: zone }), isError: false };
  } catch {
    return { text: `There is no time zone ${zone}.`, isError: true };
  }
}

async function fetchPage(target: string, { hosts, network, signal }: NativeContext): Promise<ToolOutput> {
  const headers = { accept: "text/html, text/plain, application/json;q=0.9, */*;q=0.1" };
  const {
    status,
    headers: answered,
    body,
    isCut,
  } = await fetchBounded(target, { headers, maxBytes: MAX_PAGE_BYTES, signal, hosts }, network);
  const type = answered.get("content-type") ?? "text/plain";
  if (!TEXT_TYPES.test(type)) return { text: `Not a text: ${type}.`, isError: true };
  const text = /^text\/html|\+xml/i.test(type) ? await textOfHtml(body, type) : decodeUtf8(body);
  const whole = isCut ? `${text}\n\n[… the page is longer than ${MAX_PAGE_BYTES} bytes …]` : text;
  return status < 400 ? { text: whole, isError: false } : { text: `Status ${status}.\n\n${whole}`, isError: true };
}
