import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, inject, onTestFinished } from "vitest";
import { baseUrl, key as adminKey } from "../clients/gateway.ts";
import { newHarnessKey } from "../clients/harness-key.ts";
import { run } from "../clients/programs.ts";
import type { SeenRequest } from "../fake/dialects.ts";
import { stepsOf } from "../fake/loop.ts";
import { answerMcp } from "../fake/mcp.ts";
import type { Planned } from "../fake/plan.ts";
import { listen } from "../fake/upstream.ts";

/** The scripted provider's rows, each of another dialect. */
export type Row = "fakechat" | "fakeresp" | "fakeanth" | "fakegem";

/** All of them in `npm run check:all`; in `.ci/run` that of the program's own dialect. */
export const rowsOf = (own: Row): Row[] =>
  process.env.RHONE_TEST_ALL === "1" ? ["fakechat", "fakeresp", "fakeanth", "fakegem"] : [own];

/** What takes too long for `.ci/run`. */
export const isWholeCheck = process.env.RHONE_TEST_ALL === "1";

/** What lies in the folder: two texts, and a PNG image of one pixel. */
const FILES = {
  "a.txt": "alpha\n",
  "b.txt": "beta\n",
  "c.png": Buffer.from(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==",
    "base64",
  ),
};

const PROGRAMS = join(import.meta.dirname, "programs", "node_modules", ".bin");
const PATIENCE_MS = 120_000;

/** A request of the program. `status`, `session`: of the answer. */
type Sent = { path: string; body: string; headers: Headers; status?: number; session?: string };
type Block = { type: string; text?: string; name?: string };
export type TimelineEntry = {
  type: string;
  id: string;
  parent_id: string | null;
  agent?: string;
  status?: string;
  input?: Block[];
  output?: Block[];
};

export type Workbench = Awaited<ReturnType<typeof openWorkbench>>;

/**
 * A place for an agent to work at: a home, a folder and a key of its own, and between it and the gateway something that
 * keeps what it sends. `model` names the scripted model, and so what the provider has seen. `hasServerTools`: the gateway
 * executes tools for the key, those of `serverCalls`.
 */
export async function openWorkbench(row: Row, { hasServerTools = false } = {}) {
  const newKey = hasServerTools ? makeKeyWithTools : makeKey;
  const [folder, home, key] = await Promise.all([makeFolder(), makeFolder(), newKey()]);
  await Promise.all(Object.entries(FILES).map(([name, content]) => writeTo(join(folder, name), content)));
  const script = `plan-${crypto.randomUUID()}`;
  const sent: Sent[] = [];
  const tap = await listen(async (request) => {
    const { pathname, search } = new URL(request.url);
    const one: Sent = { path: pathname + search, body: await request.text(), headers: request.headers };
    sent.push(one);
    const init = { method: request.method, headers: forwarded(request.headers) };
    const answer = await fetch(baseUrl + one.path, one.body === "" ? init : { ...init, body: one.body });
    one.status = answer.status;
    const session = answer.headers.get("x-rhone-session-id");
    if (session !== null) one.session = session;
    return new Response(answer.body, { status: answer.status, headers: forwarded(answer.headers) });
  });
  onTestFinished(() => tap.close());
  return {
    folder,
    home,
    key,
    origin: new URL(tap.url).origin,
    script,
    model: `${row}/${script}`,
    /** What the program has sent to the routes of generation. */
    sent: (): Sent[] =>
      sent.filter(({ path }) => /\/(messages|responses|chat\/completions)\b|enerateContent/.test(path)),
    /** What the provider has got. */
    seen: async (): Promise<SeenRequest[]> =>
      (await (await fetch(`${inject("providerUrl")}/seen?model=${script}`)).json()) as SeenRequest[],
    /** The timelines of all sessions that name the folder, as an agent tells its model where it works. */
    timelines: async (): Promise<TimelineEntry[][]> => {
      const { data } = await read<{ data: { id: string }[] }>("/v1/sessions?limit=100", key);
      const all = await Promise.all(data.map(({ id }) => readTimeline(id, key)));
      return all.filter((timeline) => JSON.stringify(timeline).includes(folder));
    },
    write: (name: string, content: string | Uint8Array) => writeTo(join(folder, name), content),
    /** Writes settings to the program's home. */
    configure: (name: string, content: string) => writeTo(join(home, name), content),
    /** Runs a program in the folder, to its end. It must end well. `program`: its path, or its name among those of npm. */
    run: async (program: string, args: string[], env: Record<string, string>): Promise<string> => {
      const command = program.includes("/") ? program : join(PROGRAMS, program);
      // Nothing of the tests' own environment, by which programs would behave differently.
      const variables = Object.entries({ ...QUIET, PATH: process.env.PATH, HOME: home, ...env });
      const bare = ["-i", ...variables.map((pair) => pair.join("=")), command, ...args];
      const { code, said } = await run("env", bare, { withinMs: PATIENCE_MS, cwd: folder });
      expect(code, [said, ...sent.map(({ path, status }) => `${path} ${status}`)].join("\n")).toBe(0);
      return said;
    },
  };
}

/** No updates, no telemetry: nothing but loopback is reachable. */
const QUIET = { NO_COLOR: "1", DO_NOT_TRACK: "1", DISABLE_TELEMETRY: "1", DISABLE_AUTOUPDATER: "1" };

/** Every request has reached the provider as the program sent it, but for the model's name. */
export async function expectBytesKept({ sent, seen, model, script }: Workbench): Promise<void> {
  const bodies = sent().map(({ body }) => body.replace(`"model":"${model}"`, `"model":"${script}"`));
  expect((await seen()).map(({ raw }) => raw).toSorted()).toEqual(bodies.toSorted());
}

/** The timeline of the one session in which all calls stand, all of them completed. */
export async function expectOneSession({ sent, key }: Workbench): Promise<TimelineEntry[]> {
  expect(new Set(sent().map(({ status }) => status))).toEqual(new Set([200]));
  const sessions = [...new Set(sent().map(({ session }) => session))];
  expect(sessions).toHaveLength(1);
  const timeline = await readTimeline(sessions[0]!, key);
  const turns = timeline.filter(({ type }) => type === "turn");
  expect(turns.map(({ status }) => status)).toEqual(sent().map(() => "completed"));
  return timeline;
}

const readTimeline = async (session: string, key: string): Promise<TimelineEntry[]> =>
  (await read<{ data: TimelineEntry[] }>(`/v1/sessions/${session}/timeline?limit=1000`, key)).data;

async function read<T>(path: string, key: string): Promise<T> {
  const response = await fetch(baseUrl + path, { headers: { authorization: `Bearer ${key}` } });
  return (await response.json()) as T;
}

/**
 * The calls of tools and the texts of a line, but for what the scripted model always says before its calls. `line`: a
 * sub-agent's id; absent: the main conversation.
 */
export const said = (timeline: readonly TimelineEntry[], line?: string): string[] =>
  timeline
    .filter(({ type, agent }) => type === "turn" && agent === line)
    .flatMap(({ output = [] }) => output.flatMap(({ type, name, text }) => (type === "tool_call" ? name! : text!)))
    .filter((text) => !["", "Let me think.", "Let me look."].includes(text));

/** The same of every sub-agent, in the order of what they said. */
export function saidByAgents(timeline: readonly TimelineEntry[]): string[][] {
  const lines = new Set(timeline.flatMap(({ agent }) => agent ?? []));
  const order = (words: readonly string[]): string => words.join();
  return [...lines].map((line) => said(timeline, line)).toSorted((a, b) => order(a).localeCompare(order(b)));
}

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "rhone-agent-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

async function writeTo(path: string, content: string | Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
}

async function makeKey(): Promise<string> {
  const response = await fetch(`${baseUrl}/v1/keys`, {
    method: "POST",
    headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" },
    body: JSON.stringify({ name: "agent", ttl_s: 3600 }),
  });
  expect(response.status).toBe(201);
  const { secret }: { secret: string } = await response.json();
  return secret;
}

/** Calls of the tools that the gateway executes: its own clock, and one of a server. */
export const serverCalls: readonly [Planned, Planned] = [
  { name: "time", args: {} },
  { name: "crm__get_order", args: { id: "7" } },
];

async function makeKeyWithTools(): Promise<string> {
  const host = inject("toolsUrl");
  const server = await listen(answerMcp, Number(new URL(host).port));
  onTestFinished(() => server.close());
  const name = crypto.randomUUID();
  return await newHarnessKey(name, {
    instructions: "Use the clock.",
    servers: { crm: { url: `${host}/${name}/modern` } },
    tools: [
      { type: "native", name: "time" },
      { type: "mcp", server: "crm", only: ["get_order"] },
    ],
    policy: [{ tool: "*", do: "allow" }],
  });
}

/**
 * The program was never shown a call of a tool that the gateway executes. All calls stand in one session, and the model's last
 * request has each of them once, with its result. `called`: the names of all, also of the program's own tools.
 */
export async function expectServerToolsHidden(
  { sent, seen, timelines }: Workbench,
  called: readonly string[],
): Promise<void> {
  const names = serverCalls.map(({ name }) => `"${name}"`);
  expect(sent().filter(({ body }) => names.some((name) => body.includes(name)))).toEqual([]);
  expect(sent().filter(({ status }) => status !== 200)).toEqual([]);
  const steps = stepsOf(JSON.parse((await seen()).at(-1)!.raw));
  expect(steps.flatMap((step) => (step.kind === "call" ? [step.name] : []))).toEqual(called);
  expect(steps.filter(({ kind }) => kind === "result")).toHaveLength(called.length);
  expect(await timelines()).toHaveLength(1);
}

const HOPS = new Set(["connection", "content-length", "content-encoding", "host", "keep-alive", "transfer-encoding"]);
const forwarded = (headers: Headers): Headers => new Headers([...headers].filter(([name]) => !HOPS.has(name)));
