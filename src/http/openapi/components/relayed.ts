import {
  anything,
  arrayOf,
  type Components,
  flag,
  integer,
  mapOf,
  nullable,
  number,
  object,
  openObject,
  ref,
  text,
} from "../json-schema.ts";

/** Answers of the endpoints that are relayed as they are (OpenAI API reference: Embeddings, Images, Audio, Moderations). */
export const relayedSchemas = (): Components => ({
  // Forms are piped through, so their other fields are not the gateway's to describe.
  ModelForm: {
    ...object({ "model?": text }),
    description: "A form of the provider's; `model` chooses the provider and may be in x-rhone-model instead.",
  },
  // Vectors are numbers, or with `encoding_format: base64` their bytes.
  EmbeddingList: object({
    object: text,
    data: arrayOf(ref("Embedding")),
    model: text,
    "usage?": nullable(openObject),
  }),
  Embedding: object({
    "object?": text,
    index: integer,
    embedding: { anyOf: [arrayOf(number), { type: "string", contentEncoding: "base64" }] },
  }),
  // Images, whole and streamed.
  ImageList: object({ "created?": integer, "data?": arrayOf(ref("Image")), "usage?": nullable(openObject) }),
  Image: object({ "b64_json?": nullable(text), "url?": nullable(text), "revised_prompt?": nullable(text) }),
  ImageStreamEvent: object({ type: text, "b64_json?": text, "usage?": nullable(openObject) }),
  // Audio: events of speech and transcription; `text` is the transcript.
  SpeechStreamEvent: object({ type: text, "audio?": text, "usage?": nullable(openObject) }),
  Transcription: object({ text, "usage?": nullable(openObject) }),
  TranscriptionStreamEvent: object({ type: text, "delta?": text, "text?": text, "usage?": nullable(openObject) }),
  // The categories are the provider's own.
  Moderation: object({ id: text, model: text, results: arrayOf(ref("ModerationResult")) }),
  ModerationResult: object({
    flagged: flag,
    categories: mapOf(anything),
    "category_scores?": mapOf(anything),
  }),
});
