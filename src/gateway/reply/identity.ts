import type { ReplyContext } from "../../dialects/dialect.ts";

/**
 * The answer with an id and a model, which clients require: those of the call where the provider left them out.
 */
export function withIdentity<T extends { id: string; model: string }>(
  answer: T,
  { call, model = "" }: ReplyContext,
): T {
  if (answer.id !== "" && answer.model !== "") return answer;
  return { ...answer, id: answer.id || (call?.id ?? ""), model: answer.model || model };
}
