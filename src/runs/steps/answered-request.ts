import type { ToolChoice } from "../../canonical/types.ts";
import { native } from "../../dialects/native/index.ts";
import { extendRequest } from "../../surfaces/extend-request.ts";
import { SURFACES } from "../../surfaces/index.ts";
import { type ParsedRequest, readMembers, type RequestText } from "../../surfaces/request.ts";
import type { RhoneRequest } from "../../surfaces/rhone.ts";
import { type Json, parseJson } from "../../wire/json.ts";
import { scanObject } from "../../wire/scan.ts";
import { editMembers } from "../../wire/splice.ts";
import type { AnsweredRequest, RunDefinition } from "../state/definition.ts";
import type { Run } from "../state/run.ts";
import { toModelTool } from "../state/tool.ts";

/** The request of a call as the run that answers it stores it: without its messages, which the session has. */
export function toAnsweredRequest(request: ParsedRequest, headers: Headers, isChained: boolean): AnsweredRequest {
  const { text, members, surface, outside, items, systemCount } = request;
  const { layout } = surface.dialect;
  const alias = layout.itemsAlias === undefined ? [] : [layout.itemsAlias];
  return {
    surface: surface.id as AnsweredRequest["surface"],
    outside,
    headers: [...headers],
    text: editMembers(text, members, [...alias, "rhone"], [[layout.items, "[]"]]),
    systems: items.slice(0, systemCount),
    hasTools: (request.request.tools ?? []).length > 0,
    ...(isChained && { isChained }),
  };
}

/** The text of a later step: the client's request with the results of the step before, as its wire has them. */
export function toStepText(
  { client, call }: RunDefinition,
  { input }: Pick<Run, "input">,
  parent: string,
): RequestText {
  const { surface: id, text, systems } = client!;
  const { dialect } = SURFACES[id];
  const results = native.decodeMessages(parseJson(input) as Json[]);
  const items = dialect.encodeMessages(results, { dialect: dialect.id, model: "" }).value;
  const list = `[${[...systems, ...items.map((item) => JSON.stringify(item))].join(",")}]`;
  const whole = editMembers(text, scanObject(text).members, [], [[dialect.layout.items, list]]);
  return { ...readMembers(whole, NO_HEADERS), rhone: { ...(call.rhone as RhoneRequest), parent } };
}

const NO_HEADERS = new Headers();

/** The request of a step with the tools of the run. In a last step the model has to answer; from the second on, it may. */
export function extendStep(
  request: ParsedRequest,
  { tools, limits, call }: RunDefinition,
  { isLast, isFirst }: { isLast: boolean; isFirst: boolean },
): ParsedRequest {
  const ofRun = typeof call.instructions === "string" ? { instructions: call.instructions } : {};
  if (tools.length === 0) return extendRequest(request, { tools: [], ...ofRun });
  const own = request.request;
  const isForced = own.toolChoice?.mode === "required" || own.toolChoice?.mode === "tool";
  const toolChoice: ToolChoice | undefined = isLast
    ? { mode: "none" }
    : isForced && !isFirst
      ? { mode: "auto" }
      : own.toolChoice;
  const parallelTools = limits.parallel_tools ? own.parallelTools : false;
  const isChanged = toolChoice !== own.toolChoice || parallelTools !== own.parallelTools;
  const choices = { ...(toolChoice && { toolChoice }), ...(parallelTools !== undefined && { parallelTools }) };
  return extendRequest(request, {
    tools: native.decodeRequest({ input: "-", tools: tools.map(toModelTool) }).tools!,
    ...(isChanged && choices),
    ...ofRun,
  });
}
