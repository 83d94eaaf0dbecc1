import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { answerMessages } from "./anthropic.ts";
import { answerEnding } from "./endings.ts";
import { withFaults } from "./faults.ts";
import { answerGemini } from "./gemini.ts";
import { answerOdd } from "./odd.ts";
import { answerResponses } from "./responses.ts";
import { json } from "./scene.ts";
import { refusalOf } from "./strict.ts";
import { answerChat } from "./upstream.ts";

/**
 * The scripted provider of every dialect: the path says which. `fixture-{case}` replays what a real one said,
 * `fault-{name}` fails as `faults.ts` says, `ending-{reason}.{content}` ends as `endings.ts` says.
 */
export const answer = withFaults(scripted);

async function scripted(request: Request): Promise<Response> {
  const { pathname, searchParams } = new URL(request.url);
  if (pathname.endsWith("/calls")) return await answerOdd(request);
  if (pathname.endsWith("/seen")) return json(seen.filter(({ model }) => model === searchParams.get("model")));
  const dialect = ROUTES.find(([end]) => end.test(pathname))?.[1];
  if (dialect === undefined) return new Response(`no such route: ${pathname}`, { status: 599 });
  const raw = await request.text();
  const body = JSON.parse(raw) as { model?: string; stream?: boolean };
  const [, model = body.model ?? "", method] = /\/models\/([^:]+):(\w+)$/.exec(pathname) ?? [];
  const recorded = /^fixture-(.+)$/.exec(model)?.[1];
  const isStream = body.stream === true || method === "streamGenerateContent";
  if (model.startsWith("plan")) seen.push({ model, pathname, raw });
  if (recorded !== undefined) return await replay(join(FIXTURES, dialect, recorded), isStream);
  if (model.startsWith("ending-")) return answerEnding(dialect, model, isStream);
  return refusalOf(dialect, body) ?? ANSWERS[dialect](raw, request);
}

/** A request as the provider got it. `GET /v1/seen?model=` tells those of the models `plan-…`, in their order. */
export type SeenRequest = { model: string; pathname: string; raw: string };
const seen: SeenRequest[] = [];

const ANSWERS = {
  "openai-chat": answerChat,
  "openai-responses": answerResponses,
  anthropic: answerMessages,
  gemini: answerGemini,
};

const ROUTES: readonly [RegExp, keyof typeof ANSWERS][] = [
  [/\/chat\/completions$/, "openai-chat"],
  [/\/responses(\/compact)?$/, "openai-responses"],
  [/\/messages$/, "anthropic"],
  [/\/models\/[^/]+:(stream)?[gG]enerateContent$/, "gemini"],
];

const FIXTURES = join(import.meta.dirname, "../fixtures");

async function replay(path: string, isStream: boolean): Promise<Response> {
  const [file, type] = isStream ? ["response.sse", "text/event-stream"] : ["response.json", "application/json"];
  return new Response(await readFile(join(path, file)), { headers: { "content-type": type } });
}
