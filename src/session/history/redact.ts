import { findInText, redactJson } from "../../shield/redact-json.ts";
import { ALL_KINDS, type Rules } from "../../shield/rules.ts";
import { splice } from "../../wire/splice.ts";

const RULES: Rules = { kinds: ALL_KINDS };
const MARK = "[redacted]";

/** Replaces the texts, or personal data and secrets if none are given, with MARK. */
export function redact(text: string, texts: readonly string[] | undefined): string {
  if (texts !== undefined) return texts.reduce((rest, secret) => rest.replaceAll(secret, MARK), text);
  return splice(
    text,
    findInText(text, RULES).map(({ start, end }) => ({ start, end, text: MARK })),
  );
}

/** The same in a tool's arguments, which stay JSON if they are: a number becomes 0. */
export function redactArguments(args: string, texts: readonly string[] | undefined): string {
  if (texts !== undefined || !/^\s*[[{]/.test(args)) return redact(args, texts);
  try {
    return redactJson(args, RULES, { isRead: () => true, substitute: (_, __, { isNumber }) => (isNumber ? "0" : MARK) })
      .json;
  } catch {
    return redact(args, texts);
  }
}
