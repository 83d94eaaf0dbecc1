import { parseJsonField, type RequestText } from "../../surfaces/request.ts";
import type { RhoneRequest } from "../../surfaces/rhone.ts";
import { isObject, parseJson } from "../../wire/json.ts";
import { scanObject } from "../../wire/scan.ts";
import { sliceSpan } from "../../wire/splice.ts";
import type { CallShield } from "./call-shield.ts";

/** A request's text with what stands for the values in it, before anything else reads it. */
export function screenText<T extends RequestText>(requestText: T, shield: CallShield | undefined): T {
  if (shield === undefined) return requestText;
  const text = shield.screenRequest(requestText.text);
  if (text === requestText.text) return requestText;
  const screened = { ...requestText, ...scanObject(text), text };
  return { ...screened, rhone: { ...requestText.rhone, ...labelsIn(screened) } };
}

/** What a caller may write freely in the gateway's own members, which the call's record has. */
function labelsIn({ text, members }: RequestText): Pick<RhoneRequest, "metadata" | "tags"> {
  const own = members.findLast(({ key }) => key === "rhone");
  const rhone = own && parseJsonField(sliceSpan(text, own.value), "rhone");
  if (!isObject(rhone)) return {};
  const { metadata, tags } = rhone as RhoneRequest;
  return { ...(metadata !== undefined && { metadata }), ...(tags !== undefined && { tags }) };
}

/** The text of a tool's result behind the shield. Throws `safety.policy_denied`. */
export function screenResult(text: string, shield: CallShield | undefined): string {
  if (shield === undefined) return text;
  const json = JSON.stringify({ input: [{ type: "tool_result", id: "-", content: text }] });
  const screened = shield.screenRequest(json);
  shield.requireAllowed();
  if (screened === json) return text;
  const { input } = parseJson(screened) as { input: { content: string }[] };
  return input[0]!.content;
}
