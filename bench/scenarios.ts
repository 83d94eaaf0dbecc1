import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PROJECT } from "../scripts/settings.ts";
import { buildAgentRequest } from "./agent-request.ts";
import type { Answer } from "./answers.ts";

/** A measurement of every route. */
export type Scenario = {
  id: string;
  label: string;
  answer: Answer;
  concurrency: number;
  /** Members of the request; a body of this shape. */
  more?: object;
  /** The request has a long transcript, which a session may be sent again and again. */
  hasTranscript?: true;
  /** Measured in full runs only. */
  isLong?: true;
  /** Process time is measured: a cell needs many calls, since the kernel counts in steps of 10 ms. */
  withCpu?: true;
  /** The number of calls of a cell. Absent: as many as fit into its time. */
  calls?: number;
};

const whole = (bytes: number): Answer => ({ kind: "whole", bytes });
const stream = (events: number, everyMs = 0): Answer => ({ kind: "stream", events, everyMs });

export const SCENARIOS: readonly Scenario[] = [
  { id: "whole-c1", label: "1 KiB answer, concurrency 1", answer: whole(1024), concurrency: 1, withCpu: true },
  { id: "whole-c8", label: "1 KiB answer, concurrency 8", answer: whole(1024), concurrency: 8, withCpu: true },
  { id: "whole-c32", label: "1 KiB answer, concurrency 32", answer: whole(1024), concurrency: 32 },
  { id: "whole-c128", label: "1 KiB answer, concurrency 128", answer: whole(1024), concurrency: 128 },
  {
    id: "both-4k-c8",
    label: "4 KiB request and answer, concurrency 8",
    answer: whole(4096),
    concurrency: 8,
    more: buildProseRequest(4096),
    isLong: true,
    withCpu: true,
  },
  { id: "whole-100k", label: "100 KiB answer", answer: whole(100 * 1024), concurrency: 1 },
  { id: "whole-1m", label: "1 MiB answer", answer: whole(1024 * 1024), concurrency: 1 },
  { id: "stream-10", label: "stream of 10 events", answer: stream(10), concurrency: 1 },
  { id: "stream-100", label: "stream of 100 events", answer: stream(100), concurrency: 1, withCpu: true },
  { id: "stream-1000", label: "stream of 1 000 events", answer: stream(1000), concurrency: 1 },
  {
    id: "paced-c1",
    label: "stream of 50 events, one each 5 ms",
    answer: stream(50, 5),
    concurrency: 1,
    calls: 8,
    withCpu: true,
  },
  {
    id: "paced-10",
    label: "32 streams at once of 10 events, one each 10 ms",
    answer: stream(10, 10),
    concurrency: 32,
    calls: 64,
    withCpu: true,
  },
  {
    id: "paced-100",
    label: "32 streams at once of 100 events, one each 10 ms",
    answer: stream(100, 10),
    concurrency: 32,
    calls: 32,
    withCpu: true,
  },
  ...[100, 300, 500].map((kib): Scenario => ({
    id: `agent-${kib}k`,
    label: `request of a coding agent, ${kib} KiB`,
    answer: whole(1024),
    concurrency: 1,
    more: buildAgentRequest(kib * 1024),
    hasTranscript: true,
    withCpu: true,
  })),
  {
    id: "vision",
    label: "vision-heavy request, 1 MiB",
    answer: whole(1024),
    concurrency: 1,
    more: buildVisionRequest(1024 * 1024),
  },
  {
    id: "whole-100k-c8",
    label: "100 KiB answer, concurrency 8",
    answer: whole(100 * 1024),
    concurrency: 8,
    isLong: true,
    withCpu: true,
  },
  {
    id: "stream-1000-c8",
    label: "stream of 1 000 events, concurrency 8",
    answer: stream(1000),
    concurrency: 8,
    isLong: true,
    withCpu: true,
  },
];

/** A question of this size, in prose. */
function buildProseRequest(bytes: number): object {
  const sentence =
    "Please write to the office in Basel about order 4711 before the 12th, and mention the two open invoices. ";
  return { messages: [{ role: "user", content: sentence.repeat(Math.ceil(bytes / sentence.length)).slice(0, bytes) }] };
}

type Message = { role: string; content: unknown };

/** A recorded question about an image, with an image of this size. */
function buildVisionRequest(bytes: number): object {
  const file = join(PROJECT, "test/fixtures/openai-chat/image-input/request.json");
  const { messages } = JSON.parse(readFileSync(file, "utf8")) as { messages: Message[] };
  const url = `data:image/png;base64,${Buffer.alloc((bytes * 3) / 4, 7).toString("base64")}`;
  const text = JSON.stringify(messages).replace(/"url":"[^"]*"/, () => `"url":"${url}"`);
  return { messages: JSON.parse(text) as Message[] };
}
