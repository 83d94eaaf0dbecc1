import { expect } from "vitest";

/** The scripted providers of `setup.ts`, one of each wire. */
export const PROVIDERS = ["fakechat", "fakeresp", "fakeanth", "fakegem"] as const;
export type ProviderId = (typeof PROVIDERS)[number];

export const WEATHER = {
  name: "get_weather",
  description: "The weather of a city",
  schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false },
} as const;

/** One transparent pixel. */
export const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

/** Of each: an object that has these members. */
const holding = (objects: Record<ProviderId, object>): Record<ProviderId, object> => ({
  fakechat: expect.objectContaining(objects.fakechat) as object,
  fakeresp: expect.objectContaining(objects.fakeresp) as object,
  fakeanth: expect.objectContaining(objects.fakeanth) as object,
  fakegem: expect.objectContaining(objects.fakegem) as object,
});

const PNG_URL = `data:image/png;base64,${PNG}`;

/** How each wire shows that pixel to its model. */
export const IMAGE: Record<ProviderId, object> = holding({
  fakechat: { type: "image_url", image_url: { url: PNG_URL } },
  fakeresp: { type: "input_image", image_url: PNG_URL },
  fakeanth: { type: "image", source: { type: "base64", media_type: "image/png", data: PNG } },
  fakegem: { inlineData: { mimeType: "image/png", data: PNG } },
});

/** How each wire carries sealed reasoning back to the model that made it. Chat has no seal. */
export const SEALED: Record<ProviderId, object> = holding({
  fakechat: { reasoning_content: "Let me think." },
  fakeresp: { type: "reasoning", encrypted_content: "gAAAAfake+encrypted/reasoning==" },
  fakeanth: { type: "thinking", thinking: "Let me think.", signature: "EqYCanthropic+fake/signature==" },
  fakegem: { thoughtSignature: "Eg4Kgemini+fake/signatureAA=" },
});

/** Where each wire takes an output schema. */
export const FORMAT: Record<ProviderId, object> = holding({
  fakechat: { response_format: expect.objectContaining({ type: "json_schema" }) as object },
  fakeresp: { format: expect.objectContaining({ type: "json_schema" }) as object },
  fakeanth: { format: expect.objectContaining({ type: "json_schema" }) as object },
  fakegem: { responseMimeType: "application/json" },
});

/** Every object of a request that the provider mirrored, at any depth. */
export const shown = (mirrored: string): object[] => objectsIn(JSON.parse(mirrored));

const objectsIn = (value: unknown): object[] =>
  typeof value !== "object" || value === null ? [] : [value, ...Object.values(value).flatMap(objectsIn)];

/** The error of a call that must fail. */
export const failureOf = (call: PromiseLike<unknown>): Promise<unknown> =>
  Promise.resolve(call).then(
    () => expect.unreachable("the call must fail"),
    (error: unknown) => error,
  );

export async function readAll<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of stream) all.push(one);
  return all;
}
