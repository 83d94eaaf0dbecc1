import { z } from "zod";
import { anything, boolean, effort, number, objects, oneOf, text, texts } from "../member-schemas.ts";

const format = z.looseObject({ type: oneOf("json_schema") }).nullish();

/** Anthropic API, Messages: create. */
export const MEMBERS = z.strictObject({
  messages: anything,
  system: z.union([z.string(), objects], "expected a text or a list of blocks"),
  model: anything,
  max_tokens: number,
  stream: anything,
  tools: anything,
  mcp_servers: objects,
  tool_choice: z
    .looseObject({ type: oneOf("auto", "any", "none", "tool"), disable_parallel_tool_use: boolean })
    .nullish(),
  thinking: z
    .strictObject({
      type: oneOf("enabled", "disabled", "adaptive"),
      budget_tokens: number,
      display: oneOf("summarized", "omitted").nullish(),
    })
    .nullish(),
  output_config: z.strictObject({ effort, format }).nullish(),
  output_format: format,
  stop_sequences: texts,
  temperature: number,
  top_p: number,
  top_k: number,
  metadata: z.strictObject({ user_id: text }).nullish(),
  service_tier: oneOf("auto", "standard_only").nullish(),
});
