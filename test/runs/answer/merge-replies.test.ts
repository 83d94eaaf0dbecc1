import { expect, it } from "vitest";
import { mergeParts } from "../../../src/canonical/step-merger.ts";
import type { ModelResponse } from "../../../src/canonical/types.ts";
import { isOwnCall } from "../../../src/runs/steps/merge-replies.ts";

const TOOLS = { tools: [{ type: "native" as const, name: "time" as const }] };
const call = (name: string, namespace?: string) =>
  ({ kind: "tool_call", id: "c", name, arguments: "{}", ...(namespace && { namespace }) }) as const;
const reply = (blocks: ModelResponse["messages"][0]["blocks"], more: Partial<ModelResponse> = {}): ModelResponse => ({
  id: "r",
  model: "m",
  messages: [{ role: "assistant", blocks }],
  finish: { reason: "stop" },
  usage: { output: 1 },
  ...more,
});

it("an answer of one step has no envelope: on Responses that repeats the request with the gateway's tools", () => {
  const rest: ModelResponse["rest"] = { dialect: "openai-responses", item: { tools: [{ name: "time" }] } };
  const one = reply([{ kind: "text", text: "x" }]);
  expect(mergeParts([{ reply: { ...one, rest } }], { isHidden: () => false, gap: "" })).toEqual(one);
});

it("a call is the run's own by its name, unless the client has no tools that it could be of", () => {
  const [withTools, without] = [true, false].map((hasTools) => isOwnCall(TOOLS, { hasTools }));
  expect([call("time"), call("time", "mine"), call("weather")].map(withTools!)).toEqual([true, false, false]);
  expect([call("time"), call("weather")].map(without!)).toEqual([true, true]);
});

it("the answers of several steps are one, with the usage of all and the end of the last", () => {
  const isHidden = isOwnCall(TOOLS, { hasTools: false });
  const first = reply([{ kind: "text", text: "A" }, call("time")], { finish: { reason: "tool_calls" } });
  const second = reply([{ kind: "text", text: "B" }], { finish: { reason: "length" } });
  expect(mergeParts([{ reply: first }, { reply: second }], { isHidden, gap: "\n\n" })).toMatchObject({
    messages: [{ blocks: [{ text: "A" }] }, { blocks: [{ text: "\n\nB" }] }],
    finish: { reason: "length" },
    usage: { output: 2 },
  });
});
