import { type Step, stepsOf, toolsOf } from "./loop.ts";
import type { Call, Scene } from "./scene.ts";

/** What the scripted model does, step after step: a text, perhaps after a thought, or parallel calls of the client's own tools. */
export type Plan = readonly (string | { thinking: string; text: string } | readonly Planned[])[];
/** `args`: the text `@member.n` in it stands for the n-th value of that member in the results so far. */
export type Planned = { name: string; args: Record<string, unknown> };

/** The text of a step that answers with the request itself. */
export const REQUEST = "@request";

/** A plan as words of a question, which survive whatever a client wraps around them, and JSON in JSON. */
export const writePlan = (plan: Plan): string => `PLAN(${Buffer.from(JSON.stringify(plan)).toString("base64url")})`;

/**
 * The next step of the last plan in a request: as many are done as rounds of calls follow it. A request without a plan or
 * without tools for it, as for a title, and one whose plan is done get a text.
 */
export function plannedStep(raw: string): Scene {
  const body: unknown = JSON.parse(raw);
  const steps = stepsOf(body);
  const at = steps.findLastIndex((step) => planOf(step) !== undefined);
  const tools = toolsOf(body);
  if (at < 0) return { text: "Said without a plan." };
  const rounds = steps.slice(at).filter(({ kind }, i, all) => kind === "call" && all[i - 1]?.kind !== "call").length;
  const step = planOf(steps[at]!)![rounds] ?? "The plan is done.";
  if (typeof step === "string") return { text: step };
  if ("text" in step) return step.text === REQUEST ? { text: raw } : step;
  if (tools.length === 0) return { text: "Said without a plan." };
  const calls = step.map(({ name, args }): Call => {
    // The gateway puts the namespace of a tool before its name where a provider has none.
    const tool = tools.find((one) => one.name === name) ?? tools.find((one) => one.name.endsWith(name));
    return {
      id: `call_plan_${++made}`,
      name: tool?.name ?? name,
      args: fillIn(args, steps),
      ...(tool?.isCustom && { isCustom: true }),
      ...(tool?.namespace && { namespace: tool.namespace }),
    };
  });
  return { ...(rounds === 0 && { thinking: "Let me think." }), text: "Let me look.", calls };
}

let made = 0;

function planOf(step: Step): Plan | undefined {
  const written = step.kind === "question" ? [...step.text.matchAll(/PLAN\(([\w-]+)\)/g)].at(-1) : undefined;
  return written && (JSON.parse(Buffer.from(written[1]!, "base64url").toString()) as Plan);
}

function fillIn(args: Planned["args"], steps: readonly Step[]): Planned["args"] {
  const results = steps.flatMap((step) => (step.kind === "result" ? [step.text.replaceAll("\\", "")] : [])).join();
  const filled = JSON.stringify(args).replaceAll(/@(\w+)\.(\d+)/g, (_, member: string, n: string) => {
    const values = [...results.matchAll(new RegExp(`"${member}":\\s*"([^"]*)"`, "g"))];
    return values[Number(n)]?.[1] ?? "";
  });
  return JSON.parse(filled) as Planned["args"];
}
