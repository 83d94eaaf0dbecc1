import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PROJECT } from "../scripts/settings.ts";
import type { Scene } from "./scene.ts";

/** One measurement of every way. */
export type Scenario = {
  id: string;
  label: string;
  scene: Scene;
  concurrency: number;
  /** Members of the request; a body of this shape. */
  more?: object;
  /** Measured in full runs only. */
  isLong?: true;
  /** Process time is read here: the calls of a cell must be many, since the kernel counts in steps of 10 ms. */
  withCpu?: true;
  /** How many calls a cell has; without it, as many as fit into its time. */
  calls?: number;
};

const whole = (bytes: number): Scene => ({ kind: "whole", bytes });
const stream = (events: number, everyMs = 0): Scene => ({ kind: "stream", events, everyMs });

export const SCENARIOS: readonly Scenario[] = [
  { id: "whole-c1", label: "1 KiB answer, concurrency 1", scene: whole(1024), concurrency: 1 },
  { id: "whole-c8", label: "1 KiB answer, concurrency 8", scene: whole(1024), concurrency: 8, withCpu: true },
  { id: "whole-c32", label: "1 KiB answer, concurrency 32", scene: whole(1024), concurrency: 32 },
  { id: "whole-c128", label: "1 KiB answer, concurrency 128", scene: whole(1024), concurrency: 128 },
  { id: "whole-100k", label: "100 KiB answer", scene: whole(100 * 1024), concurrency: 1 },
  { id: "whole-1m", label: "1 MiB answer", scene: whole(1024 * 1024), concurrency: 1 },
  { id: "stream-10", label: "stream of 10 events", scene: stream(10), concurrency: 1 },
  { id: "stream-100", label: "stream of 100 events", scene: stream(100), concurrency: 1 },
  { id: "stream-1000", label: "stream of 1 000 events", scene: stream(1000), concurrency: 1 },
  {
    id: "paced-10",
    label: "32 streams at once of 10 events, one each 10 ms",
    scene: stream(10, 10),
    concurrency: 32,
    calls: 64,
    withCpu: true,
  },
  {
    id: "paced-100",
    label: "32 streams at once of 100 events, one each 10 ms",
    scene: stream(100, 10),
    concurrency: 32,
    calls: 32,
    withCpu: true,
  },
  {
    id: "tools",
    label: "tool-heavy request, 100 KiB",
    scene: whole(1024),
    concurrency: 1,
    more: toolHeavy(100 * 1024),
  },
  {
    id: "vision",
    label: "vision-heavy request, 1 MiB",
    scene: whole(1024),
    concurrency: 1,
    more: visionHeavy(1024 * 1024),
  },
  {
    id: "whole-100k-c8",
    label: "100 KiB answer, concurrency 8",
    scene: whole(100 * 1024),
    concurrency: 8,
    isLong: true,
    withCpu: true,
  },
  {
    id: "stream-1000-c8",
    label: "stream of 1 000 events, concurrency 8",
    scene: stream(1000),
    concurrency: 8,
    isLong: true,
    withCpu: true,
  },
];

type Message = { role: string; content: unknown; [member: string]: unknown };
type Recorded = { messages: Message[]; tools?: object[]; model: string };

function recorded(name: string): Recorded {
  const file = join(PROJECT, "test/fixtures/openai-chat", name, "request.json");
  return JSON.parse(readFileSync(file, "utf8")) as Recorded;
}

/** A recorded loop of parallel tool calls and their results, gone through again and again. */
function toolHeavy(bytes: number): object {
  const { messages, tools = [] } = recorded("tool-result-with-cached-tokens");
  const [question, ...loop] = messages;
  const times = Math.ceil(bytes / JSON.stringify(loop).length);
  const again = Array.from({ length: times }, (_, i) =>
    loop.map((message) => JSON.parse(JSON.stringify(message).replaceAll(/(call_00_\w+)/g, `$1${i}`)) as Message),
  );
  return { messages: [question, ...again.flat()], tools };
}

/** A recorded question about an image, with an image of this size. */
function visionHeavy(bytes: number): object {
  const { messages } = recorded("image-input");
  const url = `data:image/png;base64,${Buffer.alloc((bytes * 3) / 4, 7).toString("base64")}`;
  const text = JSON.stringify(messages).replace(/"url":"[^"]*"/, () => `"url":"${url}"`);
  return { messages: JSON.parse(text) as Message[] };
}
