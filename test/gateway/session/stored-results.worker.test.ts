import { describe, expect, it } from "vitest";
import { writePlan } from "../../fake/plan.ts";
import { clientTool, json, run, webhook, type Json } from "../../support/runs/client.ts";
import { type Body, call, LOOPS, READERS } from "../../support/worker/tool-pairs.ts";

const NOT_RUN = "The tool was not run";
const look = (n: number) => ({ name: "look", args: { n } });
const tools = (test: string): Json[] => [
  webhook("look", `${test}/echo`, { effect: "read_only" }),
  clientTool("weather"),
];

/** The results in a provider's request. On Gemini's wire one that is an object is no text. */
function resultsIn(provider: string, body: Body): string[] {
  if (provider !== "fakegem") return READERS[provider]!(body).results.map(([, text]) => text);
  const parts = (body.contents as { parts: { functionResponse?: { response: object } }[] }[]).flatMap(
    (content) => content.parts,
  );
  return parts.flatMap(({ functionResponse }) => (functionResponse ? [JSON.stringify(functionResponse.response)] : []));
}

/** What the tool was called with: its host answers with that. */
const numbersIn = (results: readonly string[]): (string | undefined)[] =>
  results.map((text) => /\bn\W+(\d)/.exec(text)?.[1]);

/** What the provider receives of a call that says nothing of the calls before it. */
async function shownBy(surface: string, provider: string, rhone: object): Promise<{ body: Body; losses: unknown[] }> {
  const { send, textOf } = LOOPS[surface]!;
  const response = await send(`${provider}/mirror`, "and?", rhone);
  const text = await response.text();
  expect(response.status, text).toBe(200);
  const answer = JSON.parse(text) as { rhone: { losses?: unknown[] } };
  return { body: JSON.parse(textOf(answer as never)) as Body, losses: answer.rhone.losses ?? [] };
}

const isUnanswered = (loss: unknown): boolean => JSON.stringify(loss).includes("has no result");

describe("a call behind a turn whose calls a run has executed", () => {
  it.each(
    Object.keys(LOOPS).flatMap((surface) => Object.keys(READERS).map((provider) => [surface, provider] as const)),
  )("gets the stored results beside the run, which waits: on %s, at %s", async (surface, provider) => {
    const plan = writePlan([[look(1), look(2)], [{ name: "weather", args: { city: "Lyon" } }], "Fine."]);
    const waiting = await run({ input: plan, tools: tools(`beside-${surface}-${provider}`) });
    expect(waiting.status).toBe("waiting_for_tool");
    const rhone = { session_id: waiting.session_id, on_busy: "branch" };
    const { body, losses } = await shownBy(surface, provider, rhone);
    expect(numbersIn(resultsIn(provider, body))).toEqual(["1", "2"]);
    expect(losses.filter(isUnanswered)).toEqual([]);
  });

  it("gets them where it continues from a step of a run that has ended", async () => {
    const done = await run({ input: writePlan([[look(1), look(2)], "Fine."]), tools: tools("step") });
    const { turns } = (await json("GET", `/v1/sessions/${done.session_id as string}/lineage`)) as {
      turns: { id: string }[];
    };
    const { body, losses } = await shownBy("chat", "fake", { session_id: done.session_id, parent: turns[0]!.id });
    expect(numbersIn(resultsIn("fake", body))).toEqual(["1", "2"]);
    expect(losses.filter(isUnanswered)).toEqual([]);
  });

  it("gets them after a run that was cancelled between its batch and the next turn", async () => {
    const plan = writePlan([[look(1)], [{ name: "weather", args: { city: "Lyon" } }], "Never."]);
    const waiting = await run({ input: plan, tools: tools("cancelled") });
    await json("POST", `/v1/runs/${waiting.id as string}:interrupt`);
    await json("POST", `/v1/runs/${waiting.id as string}:cancel`);
    const { body, losses } = await shownBy("chat", "fake", { session_id: waiting.session_id });
    const results = resultsIn("fake", body);
    expect(results).toHaveLength(2);
    expect(results.join()).not.toContain(NOT_RUN);
    expect(results[1]).toContain("stopped before this call was made");
    expect(losses.filter(isUnanswered)).toEqual([]);
  });

  it("gets the failed result, as a loss, where no run has made the turn", async () => {
    const asked = await call("/v1/chat/completions", {
      model: "fake/tools",
      messages: [{ role: "user", content: "weather?" }],
      tools: [{ type: "function", function: { name: "get_weather", parameters: { type: "object" } } }],
    });
    const { rhone } = (await asked.json()) as { rhone: { session_id: string } };
    const { body, losses } = await shownBy("chat", "fake", { session_id: rhone.session_id });
    expect(resultsIn("fake", body).every((text) => text.includes(NOT_RUN))).toBe(true);
    expect(losses.filter(isUnanswered)).toHaveLength(2);
  });
});
