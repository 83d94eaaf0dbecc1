import { arrayOf, type Components, flag, integer, number, object, openObject, ref, text } from "../json-schema.ts";

/** Answers in Gemini's format (Gemini API reference: generateContent, countTokens, embedContent, models). */
export const geminiSchemas = (): Components => ({
  // Every member is optional in Google's own description as well.
  GenerateContentResponse: object(
    {
      "candidates?": arrayOf(ref("GeminiCandidate")),
      "promptFeedback?": openObject,
      "usageMetadata?": ref("GeminiUsage"),
      "modelVersion?": text,
      "responseId?": text,
      "rhone?": ref("RhoneResult"),
    },
    "A whole answer, and the data of an event.",
  ),
  // `finishReason` is a name, or at some hosts its number.
  GeminiCandidate: object({ "content?": ref("GeminiContent"), "finishReason?": {}, "index?": integer }),
  GeminiContent: object({ "role?": text, "parts?": arrayOf(ref("GeminiPart")) }),
  GeminiPart: object({
    "text?": text,
    "thought?": flag,
    "thoughtSignature?": text,
    "functionCall?": openObject,
    "inlineData?": openObject,
  }),
  GeminiUsage: object({
    "promptTokenCount?": integer,
    "candidatesTokenCount?": integer,
    "thoughtsTokenCount?": integer,
    "cachedContentTokenCount?": integer,
    "totalTokenCount?": integer,
  }),
  // Token counting and embeddings.
  CountTokensResponse: object({ totalTokens: integer }),
  EmbedContentResponse: object({ embedding: ref("ContentEmbedding") }),
  BatchEmbedContentsResponse: object({ embeddings: arrayOf(ref("ContentEmbedding")) }),
  ContentEmbedding: object({ values: arrayOf(number) }),
  // Models in Gemini's form, for Google's SDKs.
  GeminiModelList: object({ models: arrayOf(ref("GeminiModel")), "nextPageToken?": text }),
  GeminiModel: object({
    name: text,
    "displayName?": text,
    "inputTokenLimit?": integer,
    "outputTokenLimit?": integer,
    "supportedGenerationMethods?": arrayOf(text),
    "thinking?": flag,
  }),
});
