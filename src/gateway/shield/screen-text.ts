import type { RequestText } from "../../surfaces/request.ts";
import { scanObject } from "../../wire/scan.ts";
import type { CallShield } from "./call-shield.ts";

/** A request's text with what stands for the values in it, before anything else reads it. */
export function screenText<T extends RequestText>(requestText: T, shield: CallShield | undefined): T {
  if (shield === undefined) return requestText;
  const text = shield.screenRequest(requestText.text);
  return text === requestText.text ? requestText : { ...requestText, ...scanObject(text), text };
}
