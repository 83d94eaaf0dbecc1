import { frame, halves, HEADERS, isRefused, json, REFUSALS, type Scene, sceneOf, stream } from "./scene.ts";

type Part = Record<string, unknown> & { functionResponse?: { response: { output?: string; result?: string } } };
type Body = { contents: { role?: string; parts: Part[] }[] };

/** A scripted provider of Gemini. Its model and its method stand in the path. */
export function answerGemini(raw: string, request: Request): Response {
  const { pathname, searchParams } = new URL(request.url);
  const [, model = "", method] = /\/models\/([^:]+):(\w+)$/.exec(pathname)!;
  const [script] = model.split("-") as [string];
  if (isRefused(script)) {
    const { status, message } = REFUSALS[script];
    const details = script === "limited" ? [RETRY_INFO] : [];
    return json({ error: { code: status, message, status: STATUSES[script], details } }, status, HEADERS);
  }
  const { contents } = JSON.parse(raw) as Body;
  const results = contents.at(-1)!.parts.flatMap(({ functionResponse }) => {
    if (functionResponse === undefined) return [];
    const { response } = functionResponse;
    return response.output ?? response.result ?? JSON.stringify(response);
  });
  const chunk = chunkOf(model);
  const isFirst = !contents.some(({ role }) => role === "model");
  const scene = sceneOf({ script, raw, isFirst, results });
  if (method === "generateContent")
    return script === "cut" ? json({ modelVersion: model }) : json(chunk(partsOf(scene), FINISH(scene)), 200, HEADERS);
  const chunks: object[] = [...chunksOf(chunk, scene)];
  if (script === "cut") chunks.pop();
  if (script === "failing")
    chunks.splice(-1, 1, { error: { code: 503, message: "Overloaded", status: "UNAVAILABLE" } });
  if (searchParams.get("alt") !== "sse") return json(chunks, 200, HEADERS);
  return stream(
    chunks.map((one) => frame(one)),
    0,
    HEADERS,
  );
}

/** On the thinking model's answer; it wants it back on that very part. */
export const THOUGHT_SIGNATURE = "Eg4Kgemini+fake/signatureAA=";

function partsOf({ thinking, text, calls = [] }: Scene): Part[] {
  return [
    ...(thinking === undefined ? [] : [{ text: thinking, thought: true }]),
    ...(text === undefined ? [] : [{ text, ...(thinking !== undefined && { thoughtSignature: THOUGHT_SIGNATURE }) }]),
    ...calls.map(({ name, args }, i) => ({
      functionCall: { name, args },
      // Only the first of parallel calls is signed.
      ...(i === 0 && { thoughtSignature: THOUGHT_SIGNATURE }),
    })),
  ];
}

/** Text in pieces; the signature comes with an empty text behind it, as Gemini streams it. */
function* chunksOf(chunk: ReturnType<typeof chunkOf>, scene: Scene): Generator<object> {
  for (const part of partsOf(scene)) {
    const { text, thoughtSignature, ...rest } = part as Part & { text?: string };
    if (text === undefined) {
      yield chunk([part]);
      continue;
    }
    for (const piece of halves(text)) yield chunk([{ text: piece, ...rest }]);
    if (thoughtSignature !== undefined) yield chunk([{ text: "", thoughtSignature }]);
  }
  yield chunk([{ text: "" }], FINISH(scene));
}

const FINISH = ({ declined }: Scene): string => (declined === undefined ? "STOP" : "SAFETY");

/** The chunks of one answer have one `responseId`, which no other answer has; a model "…-anonymous" sends none. */
const chunkOf = (modelVersion: string) => {
  const responseId = `gemini_fake_${++answers}`;
  const ids = modelVersion.endsWith("-anonymous") ? {} : { responseId };
  return (parts: Part[], finishReason?: string) => ({
    candidates: [{ content: { role: "model", parts }, index: 0, ...(finishReason !== undefined && { finishReason }) }],
    usageMetadata: { promptTokenCount: 12, cachedContentTokenCount: 4, candidatesTokenCount: 5, totalTokenCount: 17 },
    modelVersion,
    ...ids,
  });
};
let answers = 0;

const STATUSES = { refuse: "INVALID_ARGUMENT", limited: "RESOURCE_EXHAUSTED", broken: "INTERNAL" };
const RETRY_INFO = { "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: "7s" };
