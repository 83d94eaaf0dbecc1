import { describe, expect, it } from "vitest";
import type { z } from "zod";
import { GatewayError } from "../../src/canonical/error.ts";
import type { Dialect } from "../../src/canonical/types.ts";
import { toCamelCase } from "../../src/dialects/gemini/casing.ts";
import { DIALECTS } from "../../src/dialects/index.ts";
import { encodeBody } from "../../src/gateway/request-body.ts";
import { type Surface, SURFACES } from "../../src/surfaces/index.ts";
import { parseRequest, readMembers } from "../../src/surfaces/request.ts";
import { listUnknownMembers } from "../../src/surfaces/unknown-members.ts";
import { isObject, type Json, type JsonObject } from "../../src/wire/json.ts";
import { recordings } from "../support/recordings.ts";

/** On its way to another dialect, a value of a member that the gateway knows has an effect, is told as lost, or is refused by name. */

/** Values of every JSON type, of which most are wrong for any member. */
const VALUES: Json[] = ["odd", "", 7, 0, -1, 1.5, true, false, {}, [], ["odd"], [7], { type: "odd" }, { type: 7 }];

type Start = { shortest: JsonObject; tools: JsonObject };

const STARTS: Record<string, Start> = {
  chat: {
    shortest: { model: "m", messages: [{ role: "user", content: "Hi" }] },
    tools: { tools: [{ type: "function", function: { name: "f" } }] },
  },
  responses: {
    shortest: { model: "m", input: "Hi", store: false },
    tools: { tools: [{ type: "function", name: "f" }] },
  },
  messages: {
    shortest: { model: "m", max_tokens: 2000, messages: [{ role: "user", content: "Hi" }] },
    tools: { tools: [{ name: "f", input_schema: { type: "object" } }] },
  },
  gemini: {
    shortest: { contents: [{ role: "user", parts: [{ text: "Hi" }] }] },
    tools: { tools: [{ functionDeclarations: [{ name: "f" }] }] },
  },
};

/** Values that say no more than a request without the member. */
const SAYS_NOTHING: Record<string, Json[]> = {
  instructions: [""],
  system: ["", []],
  tools: [[]],
  functions: [[]],
  mcp_servers: [[]],
  "tool_choice.disable_parallel_tool_use": [false],
  parallel_tool_calls: [true],
  reasoning: [{}],
  text: [{}],
  output_config: [{}],
  stop: ["", []],
  stop_sequences: [[]],
  frequency_penalty: [0],
  presence_penalty: [0],
  logprobs: [false],
  top_logprobs: [0],
  systemInstruction: ["", {}, []],
  toolConfig: [{}],
  "toolConfig.functionCallingConfig": [{}],
  "toolConfig.functionCallingConfig.allowedFunctionNames": [[]],
  generationConfig: [{}],
  "generationConfig.stopSequences": [[]],
  "generationConfig.frequencyPenalty": [0],
  "generationConfig.presencePenalty": [0],
  "generationConfig.logprobs": [0],
  "generationConfig.responseLogprobs": [false],
  logit_bias: [{}],
  safetySettings: [[]],
  cachedContent: [""],
  "toolConfig.functionCallingConfig.mode": [0],
  "generationConfig.responseMimeType": [""],
  "generationConfig.thinkingConfig.thinkingLevel": [0],
  reasoning_effort: [{}, { type: "odd" }, { type: 7 }],
  "generationConfig.thinkingConfig": [{}],
  "generationConfig.thinkingConfig.thinkingBudget": [-1],
  "generationConfig.thinkingConfig.includeThoughts": [false],
};

/** Members that have no effect on the answer, or another than on what the provider gets. */
const ELSEWHERE = new RegExp(
  `^(${[
    "model|stream|stream_options.*|store|background|conversation|previous_response_id|include",
    "metadata|safety_identifier|labels|reasoning\\.exclude",
    "toolConfig\\.functionCallingConfig\\.streamFunctionCallArguments",
    // Chat has no such member: models that reason there return their reasoning in any case.
    "generationConfig\\.thinkingConfig\\.includeThoughts",
  ].join("|")})$`,
);

type Translated = ReturnType<typeof encodeBody>;

/** A request of the surface as it is sent to a provider of another dialect. */
function translate(id: string, body: JsonObject, dialect: Dialect): Translated {
  const surface = surfaceOf(id);
  const text = readMembers(JSON.stringify(body), new Headers(), surface);
  const parsed = parseRequest(text, surface, { model: "m", stream: false });
  return encodeBody(parsed, { parent: undefined, history: [], known: 0 }, { dialect, model: "m", issuer: "someone" });
}

const surfaceOf = (id: string): Surface => Object.values(SURFACES).find((one) => one.id === id)!;

describe.each(Object.entries(STARTS))("values of the members of %s", (id, { shortest, tools }) => {
  const { dialect } = surfaceOf(id);
  const paths = pathsOf(dialect.layout.members!).filter(([first = ""]) => !Object.hasOwn(shortest, first));
  const others = Object.values(DIALECTS).filter((to) => to.id !== dialect.id);

  /** What the value leads to; `undefined` if it vanishes. */
  function effectOf(path: string[], value: Json, to: Dialect): "sent" | "lost" | "refused" | undefined {
    const base = { ...shortest, ...(/tool|function/i.test(path[0]!) && tools) };
    const without = translate(id, base, to);
    try {
      const { body, losses } = translate(id, withValue(base, path, value), to);
      if (losses.length > without.losses.length) return "lost";
      return body === without.body ? undefined : "sent";
    } catch (thrown) {
      if (thrown instanceof GatewayError && thrown.param?.startsWith(path[0]!) === true) return "refused";
      throw thrown;
    }
  }

  it.each(others.map((to) => to.id))("to %s", (to) => {
    const vanished = paths.flatMap((path) => {
      const name = id === "gemini" ? toCamelCase(path.join(".")) : path.join(".");
      if (ELSEWHERE.test(name)) return [];
      const nothing = new Set(SAYS_NOTHING[name]?.map((value) => JSON.stringify(value)));
      const values = VALUES.filter((value) => !nothing.has(JSON.stringify(value)));
      return values
        .filter((value) => effectOf(path, value, to) === undefined)
        .map((value) => `${name} = ${JSON.stringify(value)}`);
    });
    expect(vanished).toEqual([]);
  });
});

const { shortest } = STARTS.chat!;

it("an unknown word is a loss that names the known ones, as is an unknown member", () => {
  const body = { ...shortest, reasoning_effort: "ultra", service_level: 1, response_format: { type: "xml" } };
  expect(translate("chat", body, "anthropic").losses).toMatchObject([
    { at: "reasoning_effort", what: "dropped", why: expect.stringContaining('"high"') },
    { at: "response_format.type", what: "dropped", why: expect.stringContaining('"json_schema"') },
    { at: "service_level", what: "dropped", why: "anthropic has no such member" },
  ]);
});

it.each<[JsonObject, string, string]>([
  [{ temperature: "hot" }, "temperature", "temperature: expected number"],
  [{ stop: 1 }, "stop", "stop: expected a text or a list of texts"],
  [{ stop: ["a", 1] }, "stop", "stop: expected a text or a list of texts"],
  [{ reasoning: { effort: 3 } }, "reasoning.effort", "reasoning.effort: expected string, received number"],
  [{ tool_choice: { type: "function" } }, "tool_choice", "tool_choice: expected the name of a tool"],
  [{ n: 0 }, "n", "n: expected at least 1"],
])("a value of another type is refused by the name of its member: %j", (members, param, message) => {
  let thrown: unknown;
  try {
    translate("chat", { ...shortest, ...members }, "anthropic");
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toMatchObject({ code: "request.invalid", param, message: expect.stringContaining(message) });
});

it("Gemini's numbers may be texts", () => {
  const request = (temperature: Json, maxOutputTokens: Json): JsonObject => ({
    ...STARTS.gemini!.shortest,
    generationConfig: { temperature, topK: "odd", maxOutputTokens },
  });
  const config = { temperature: "0.5", thinkingConfig: { thinkingBudget: "2000" }, maxOutputTokens: "9000" };
  const sent = translate("gemini", { ...STARTS.gemini!.shortest, generationConfig: config }, "openai-chat");
  expect(JSON.parse(sent.body)).toMatchObject({
    temperature: 0.5,
    reasoning_effort: "medium",
    max_completion_tokens: 9000,
  });
  expect(() => translate("gemini", request("0.5", 1), "openai-chat")).toThrow("generationConfig.topK: expected number");
  expect(() => translate("gemini", request(1, "some"), "openai-chat")).toThrow("generationConfig.maxOutputTokens");
});

it.each(["9".repeat(400), "1e999", "-1", "1.5", "0"])(
  "an output limit of %s in a text is refused",
  (maxOutputTokens) => {
    const body = { ...STARTS.gemini!.shortest, generationConfig: { maxOutputTokens } };
    expect(() => translate("gemini", body, "openai-chat")).toThrow("generationConfig.maxOutputTokens: expected");
  },
);

describe.each(Object.keys(STARTS))("requests that clients send: %s", (id) => {
  const surface = surfaceOf(id);

  it("no recorded request is refused", () => {
    const recorded = recordings(surface.dialect.id).flatMap(({ request }) => (request === undefined ? [] : [request]));
    expect(recorded.length).toBeGreaterThan(0);
    for (const body of recorded) expect(() => listUnknownMembers({ surface, body })).not.toThrow();
  });
});

it.each<[string, JsonObject]>([
  ["chat", { logprobs: 5, reasoning_effort: { effort: "high", summary: "auto" } }],
  [
    "chat",
    { response_format: { type: "json_schema", schema: { type: "object" } }, modalities: ["text"], logit_bias: {} },
  ],
  [
    "responses",
    { truncation: "disabled", reasoning: { effort: null, summary: null }, tool_choice: "auto", text: null },
  ],
  ["messages", { thinking: { type: "adaptive" }, output_config: { effort: "max" }, tool_choice: { type: "any" } }],
  ["gemini", { toolConfig: { functionCallingConfig: { mode: 2 } }, safetySettings: [] }],
  ["gemini", { tool_config: { function_calling_config: { mode: "any", allowed_function_names: ["f"] } } }],
  ["gemini", { generationConfig: { responseModalities: ["TEXT"], thinkingConfig: { thinkingLevel: "High" } } }],
  ["gemini", { generationConfig: { topK: "40", seed: 7, thinkingConfig: { thinkingLevel: 3 } } }],
])("what clients and hosts of %s are known to send is understood: %j", (id, body) => {
  expect(listUnknownMembers({ surface: surfaceOf(id), body: { ...STARTS[id]!.shortest, ...body } })).toEqual([]);
});

/** The paths of all members that a schema has, those of objects included. */
function pathsOf(schema: z.ZodType): string[][] {
  const { innerType, shape } = schema.def as { innerType?: z.ZodType; shape?: Record<string, z.ZodType> };
  if (innerType !== undefined) return pathsOf(innerType);
  return Object.entries(shape ?? {}).flatMap(([key, member]) => [
    [key],
    ...pathsOf(member).map((path) => [key, ...path]),
  ]);
}

function withValue(body: JsonObject, [key, ...rest]: string[], value: Json): JsonObject {
  const owner = body[key!];
  return { ...body, [key!]: rest.length === 0 ? value : withValue(isObject(owner) ? owner : {}, rest, value) };
}
