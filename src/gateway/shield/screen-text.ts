import { GatewayError } from "../../canonical/error.ts";
import type { SafetyRecord } from "../../store/records.ts";
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

/** A text behind the shield. `isDenied`: it must not be shown, and the text says so. */
export type ScreenedResult = { text: string; isDenied: boolean; safety?: SafetyRecord };

/**
 * A tool's result as a model may be shown it, with what was found in it. What a person may let pass is not denied here: the record says
 * so.
 */
export function screenResult(text: string, shield: CallShield | undefined): ScreenedResult {
  if (shield === undefined) return { text, isDenied: false };
  const json = JSON.stringify({ input: [{ type: "tool_result", id: "-", content: text }] });
  const screened = shield.screenRequest(json);
  const { record: safety } = shield;
  const found = safety === undefined ? {} : { safety };
  try {
    if (!shield.awaitsPerson) shield.requireAllowed();
  } catch (cause) {
    if (!(cause instanceof GatewayError)) throw cause;
    return { text: `The result is withheld: ${cause.message}.`, isDenied: true, ...found };
  }
  if (screened === json) return { text, isDenied: false, ...found };
  const { input } = parseJson(screened) as { input: { content: string }[] };
  return { text: input[0]!.content, isDenied: false, ...found };
}
