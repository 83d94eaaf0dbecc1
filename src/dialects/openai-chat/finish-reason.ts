import type { Json } from "../../wire/json.ts";

/** Failures of the host: OpenRouter, Z.ai, vLLM, DeepSeek (`insufficient_system_resource`), Cohere (`timeout`). */
const HOST_FAULTS: ReadonlySet<string> = new Set([
  "error",
  "network_error",
  "abort",
  "aborted",
  "cancelled",
  "timeout",
  "insufficient_system_resource",
]);
/**
 * Failures of the model: those of Gemini and Bedrock behind this wire. Google sends them as `function_call_filter: {NAME}`.
 */
const MODEL_FAULTS: ReadonlySet<string> = new Set([
  "function_call_filter",
  "malformed_function_call",
  "malformed_response",
  "malformed_model_output",
  "malformed_tool_use",
  "unexpected_tool_call",
  "too_many_tool_calls",
  "missing_thought_signature",
  "no_image",
]);

/** The name without a detail after a colon. Hosts differ in upper and lower case. */
export const nameOf = (finishReason: string): string => finishReason.split(":", 1)[0]!.trim().toLowerCase();

/** Whether the reason is a failure, of the host or of the model. */
export function isFailure(finishReason: Json | undefined): boolean {
  if (typeof finishReason !== "string") return false;
  const name = nameOf(finishReason);
  return HOST_FAULTS.has(name) || MODEL_FAULTS.has(name);
}

/** Whether the failure of that name is one of the model, while the host works. */
export const isModelFault = (name: string): boolean => MODEL_FAULTS.has(name);
