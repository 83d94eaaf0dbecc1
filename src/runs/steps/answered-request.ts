import type { Tool, ToolChoice } from "../../canonical/types.ts";
import type { ReplyContext } from "../../dialects/dialect.ts";
import { native } from "../../dialects/native/index.ts";
import { toReplyContext } from "../../gateway/call/upstream-call.ts";
import { extendRequest } from "../../surfaces/extend-request.ts";
import { SURFACES } from "../../surfaces/index.ts";
import { type ParsedRequest, parseRequest, readMembers, type RequestText } from "../../surfaces/request.ts";
import type { RhoneRequest } from "../../surfaces/rhone.ts";
import { createdAtOf } from "../../wire/id.ts";
import { type Json, parseJson } from "../../wire/json.ts";
import { scanObject } from "../../wire/scan.ts";
import { editMembers } from "../../wire/splice.ts";
import type { AnsweredRequest, RunDefinition } from "../state/definition.ts";
import type { Run } from "../state/run.ts";
import { toModelTool } from "../state/tool.ts";
import type { ModelCallServices } from "./step-form.ts";

/**
 * The request of a call as the run that answers it stores it: without its messages, which the session has. `isStored`: as in
 * `AnsweredRequest`. `labels`: of the servers that
 * it names as tools; `approves`: of those about whose calls its client may decide. A client that goes on from an answer has the lists of their tools already.
 */
export function toAnsweredRequest(
  request: ParsedRequest,
  headers: Headers,
  {
    isChained,
    isStored,
    labels,
    approves,
  }: { isChained: boolean; isStored: boolean; labels: string[]; approves: string[] },
): AnsweredRequest {
  const { text, members, surface, outside, items, systemCount } = request;
  const { layout } = surface.dialect;
  const showsCalls = labels.length > 0 || surface.dialect.serverTools?.calls.areShown(request.body, headers) === true;
  const known = surface.dialect.serverTools?.lists?.find(request.messages) ?? [];
  const alias = layout.itemsAlias === undefined ? [] : [layout.itemsAlias];
  return {
    surface: surface.id as AnsweredRequest["surface"],
    outside,
    headers: [...headers],
    text: editMembers(text, members, [...alias, "rhone"], [[layout.items, "[]"]]),
    systems: items.slice(0, systemCount),
    hasTools: (request.request.tools ?? []).some((tool) => !isNamed(tool, request, labels)),
    ...(labels.length > 0 && { named: labels, listed: isChained ? [] : labels.filter((one) => !known.includes(one)) }),
    ...(approves.length > 0 && { approves }),
    ...(showsCalls && { showsCalls }),
    ...(isChained && { isChained }),
    ...(isStored && { isStored }),
  };
}

/** Whether a tool of a request is a server that the gateway calls. */
const isNamed = (tool: Tool, { surface }: ParsedRequest, labels: readonly string[] = []): boolean =>
  surface.dialect.serverTools?.naming?.isServer(tool, labels) === true;

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

/** The request of the client whose connection a restart has ended, without its messages, and what encoders need beyond its answer. */
export function restoreRequest(
  run: Run,
  definition: RunDefinition,
  { models }: Pick<ModelCallServices, "models">,
): { request: ParsedRequest; reply: ReplyContext } {
  const { surface, outside } = definition.client!;
  const { clientCall: id = "", sessionId, org, at = "" } = run;
  const request = parseRequest(toStepText(definition, run, at), SURFACES[surface], outside);
  const call = { id, sessionId, createdAt: createdAtOf(id) };
  return { request, reply: toReplyContext({ call, request, carried: models.carried(org) }) };
}

/** The request of a step with the tools of the run. In a last step the model has to answer; from the second on, it may. */
export function extendStep(
  request: ParsedRequest,
  definition: RunDefinition,
  step: { isLast: boolean; isFirst: boolean },
): ParsedRequest {
  const { tools, limits, call, client } = definition;
  const ofRun = typeof call.instructions === "string" ? { instructions: call.instructions } : {};
  const omits = (tool: Tool): boolean => isNamed(tool, request, client!.named);
  if (tools.length === 0) return extendRequest(request, { tools: [], omits, ...ofRun });
  const own = request.request;
  const toolChoice = chooseTool(request, definition, step);
  const parallelTools = limits.parallel_tools ? own.parallelTools : false;
  const isChanged = toolChoice !== own.toolChoice || parallelTools !== own.parallelTools;
  const choices = { ...(toolChoice && { toolChoice }), ...(parallelTools !== undefined && { parallelTools }) };
  return extendRequest(request, {
    tools: native.decodeRequest({ input: "-", tools: tools.map(toModelTool) }).tools!,
    omits,
    ...(isChanged && choices),
    ...ofRun,
  });
}

function chooseTool(
  parsed: ParsedRequest,
  definition: RunDefinition,
  { isLast, isFirst }: { isLast: boolean; isFirst: boolean },
): ToolChoice | undefined {
  if (isLast) return { mode: "none" };
  const choice = nameChosen(parsed, definition);
  if (isFirst || (choice?.mode !== "required" && choice?.mode !== "tool")) return choice;
  return choice.mode === "required" ? { ...choice, mode: "auto" } : { mode: "auto" };
}

/** The choice of the client with the names of tools in the place of the servers that the gateway calls. */
function nameChosen(
  { request: { toolChoice }, surface, body }: ParsedRequest,
  { tools, client }: RunDefinition,
): ToolChoice | undefined {
  const all = surface.dialect.serverTools?.naming?.readChoices?.(body.tool_choice) ?? [];
  const chosen = all.filter(({ server }) => client!.named?.includes(server));
  if (toolChoice === undefined || chosen.length === 0) return toolChoice;
  const names = chosen.flatMap(({ server, tool: name }) => {
    const ofServer = tools.filter((tool) => tool.type === "mcp" && tool.server === server);
    const one = ofServer.find((tool) => "tool" in tool && tool.tool === name);
    return (one === undefined ? ofServer : [one]).map((tool) => tool.name);
  });
  if (toolChoice.mode === "tool")
    return names.length === 1 ? { mode: "tool", name: names[0]! } : { mode: "required", among: names };
  const { among = [], servers = [], ...choice } = toolChoice;
  const theirs = chosen.length < all.length ? servers : servers.filter((label) => label !== "mcp");
  return { ...choice, among: [...among, ...names], ...(theirs.length > 0 && { servers: theirs }) };
}
