import { frame, halves, HEADERS, isRefused, json, REFUSALS, type Scene, sceneOf, stream } from "./scene.ts";

type Item = Record<string, unknown> & { type?: string; role?: string };
type Body = { model: string; stream?: boolean; input: string | Item[] };

/** A scripted provider of OpenAI's Responses. */
export function answerResponses(raw: string, { url }: Pick<Request, "url">): Response {
  const body = JSON.parse(raw) as Body;
  if (url.endsWith("/compact")) return compaction(raw, body);
  const [script] = body.model.split("-") as [string];
  const headers = { ...HEADERS, "x-request-id": "req_fake_responses" };
  if (isRefused(script)) {
    const { status, message } = REFUSALS[script];
    return json({ error: { message, ...ERRORS[script] } }, status, {
      ...headers,
      ...(script === "limited" && { "retry-after": "7" }),
    });
  }
  const input = typeof body.input === "string" ? [] : body.input;
  const isFirst = !input.some(({ type, role }) => type === "reasoning" || role === "assistant");
  const from = input.findLastIndex(({ type }) => type !== "function_call_output") + 1;
  const results = input.slice(from).map(({ output }) => outputText(output as string | { text: string }[]));
  const output = outputOf(sceneOf({ script, raw, isFirst, results }));
  const whole = response(body.model, output);
  if (!body.stream) return script === "cut" ? json({ object: "response" }) : json(whole, 200, headers);
  const frames = [...events(whole)];
  if (script === "cut") return stream(frames.slice(0, -3));
  if (script === "failing") return stream([...frames.slice(0, -3), failed(whole, frames.length - 3)]);
  return stream(frames, 0, headers);
}

/** Only the model `sealed` has a compaction of its own; it shows what it was sent. */
function compaction(raw: string, { model }: Body): Response {
  if (!model.startsWith("sealed")) return json({ error: { message: "no such route", type: "not_found" } }, 404);
  const { id, usage } = response(model, []);
  const output = [{ id: "cmp_fake", type: "compaction", encrypted_content: ENCRYPTED, created_by: raw }];
  return json({ id, object: "response.compaction", created_at: 1_750_000_000, output, usage });
}

/** What only the scripted organisation can read. */
export const ENCRYPTED = "gAAAAfake+encrypted/reasoning==";

function outputOf({ thinking, text, calls = [], declined }: Scene): Item[] {
  const said =
    declined !== undefined
      ? [{ type: "refusal", refusal: declined }]
      : text !== undefined
        ? [{ type: "output_text", text, annotations: [], logprobs: [] }]
        : [];
  return [
    ...(thinking === undefined
      ? []
      : [
          {
            id: ownId("rs_fake"),
            type: "reasoning",
            // Without a summary and without `include`, the item only refers to what OpenAI stores.
            ...(thinking === ""
              ? { summary: [] }
              : { summary: [{ type: "summary_text", text: thinking }], encrypted_content: ENCRYPTED }),
          },
        ]),
    ...said.map((part) => ({
      id: ownId("msg_fake"),
      type: "message",
      status: "completed",
      role: "assistant",
      content: [part],
    })),
    ...calls.map(({ id, name, args, isCustom, namespace }) => ({
      ...(isCustom
        ? { id: ownId("ctc"), type: "custom_tool_call", input: args.input }
        : { id: ownId("fc"), type: "function_call", arguments: JSON.stringify(args) }),
      status: "completed",
      call_id: id,
      name,
      ...(namespace !== undefined && { namespace }),
    })),
  ];
}

/** Of its own, as every provider's: what is kept is found by it. At most 64 characters. */
const ownId = (prefix: string): string => `${prefix}_${crypto.randomUUID()}`;

const response = (model: string, output: Item[]) => ({
  id: ownId("resp_fake"),
  object: "response",
  created_at: 1_750_000_000,
  completed_at: 1_750_000_001,
  status: "completed",
  background: false,
  error: null,
  incomplete_details: null,
  instructions: null,
  metadata: {},
  model,
  output,
  parallel_tool_calls: true,
  previous_response_id: null,
  reasoning: { effort: null, summary: null },
  store: false,
  temperature: 1,
  text: { format: { type: "text" } },
  tool_choice: "auto",
  tools: [],
  top_p: 1,
  truncation: "disabled",
  usage: {
    input_tokens: 12,
    input_tokens_details: { cached_tokens: 4 },
    output_tokens: 5,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 17,
  },
});

type Whole = ReturnType<typeof response>;

function* events(whole: Whole): Generator<string> {
  let sequence_number = 0;
  const named = (type: string, data: object): string =>
    frame({ type, ...data, sequence_number: sequence_number++ }, type);
  const begun = { ...whole, status: "in_progress", completed_at: null, output: [], usage: null };
  yield named("response.created", { response: begun });
  yield named("response.in_progress", { response: begun });
  for (const [output_index, item] of whole.output.entries()) {
    yield named("response.output_item.added", { output_index, item: { ...item, ...OPEN[item.type!] } });
    for (const [type, data] of growth(item)) yield named(type, { item_id: item.id, output_index, ...data });
    yield named("response.output_item.done", { output_index, item });
  }
  yield named("response.completed", { response: whole });
}

const OPEN: Record<string, object> = {
  reasoning: { summary: [] },
  message: { status: "in_progress", content: [] },
  function_call: { status: "in_progress", arguments: "" },
  custom_tool_call: { status: "in_progress", input: "" },
};

type Growth = [type: string, data: object][];

function growth(item: Item): Growth {
  if (item.type === "function_call") {
    const whole = item.arguments as string;
    return [
      ...halves(whole).map((delta): Growth[number] => ["response.function_call_arguments.delta", { delta }]),
      ["response.function_call_arguments.done", { arguments: whole, name: item.name }],
    ];
  }
  if (item.type === "custom_tool_call") {
    const input = item.input as string;
    return [
      ...halves(input).map((delta): Growth[number] => ["response.custom_tool_call_input.delta", { delta }]),
      ["response.custom_tool_call_input.done", { input }],
    ];
  }
  const isReasoning = item.type === "reasoning";
  const [part] = (isReasoning ? item.summary : item.content) as { type: string; text?: string; refusal?: string }[];
  const at = isReasoning ? { summary_index: 0 } : { content_index: 0 };
  const [container, member] = isReasoning
    ? (["reasoning_summary", "text"] as const)
    : (["content", part!.text === undefined ? "refusal" : "text"] as const);
  const name = isReasoning ? "reasoning_summary_text" : member === "text" ? "output_text" : "refusal";
  const said = part![member]!;
  const more = name === "output_text" ? { logprobs: [] } : {};
  return [
    [`response.${container}_part.added`, { ...at, part: { ...part, [member]: "" } }],
    ...halves(said).map((delta): Growth[number] => [`response.${name}.delta`, { ...at, delta, ...more }]),
    [`response.${name}.done`, { ...at, [member]: said, ...more }],
    [`response.${container}_part.done`, { ...at, part }],
  ];
}

const failed = (whole: Whole, sequence_number: number): string =>
  frame(
    {
      type: "response.failed",
      response: { ...whole, status: "failed", output: [], error: { code: "server_error", message: "Overloaded" } },
      sequence_number,
    },
    "response.failed",
  );

const ERRORS = {
  refuse: { type: "invalid_request_error", param: "max_output_tokens", code: "too_large" },
  limited: { type: "rate_limit_error", param: null, code: "rate_limit" },
  broken: { type: "server_error", param: null, code: null },
};

const outputText = (output: string | { text: string }[]): string =>
  typeof output === "string" ? output : output.map(({ text }) => text).join("");
