import type { Dialect } from "../canonical/types.ts";
import { anthropic } from "./anthropic/index.ts";
import type { WireDialect } from "./dialect.ts";
import { gemini } from "./gemini/index.ts";
import { native } from "./native/index.ts";
import { openaiChat } from "./openai-chat/index.ts";
import { openaiResponses } from "./openai-responses/index.ts";

/**
 * The wire formats, for surfaces (clients) and for providers alike. A dialect is added here and in `Dialect`.
 */
export const DIALECTS: Record<Dialect, WireDialect> = {
  "openai-chat": openaiChat,
  "openai-responses": openaiResponses,
  anthropic,
  gemini,
  native,
};
