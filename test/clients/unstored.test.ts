import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import OpenAI from "openai";
import { expect, inject, it, vi } from "vitest";
import { baseUrl, key, type RhoneRequest } from "./gateway.ts";

const stateDir = inject("stateDir");
const openai = new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey: key, maxRetries: 0, logLevel: "off" });

/** Whether a text is anywhere in the gateway's databases and files. */
const isStored = (text: string): boolean =>
  readdirSync(stateDir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .some((entry) => readIfThere(join(entry.parentPath, entry.name)).includes(text));

/** The runtime removes files of objects that it has put to sleep, also while they are listed. */
function readIfThere(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return Buffer.alloc(0);
    throw thrown;
  }
}

let names = 0;
const newMarker = (): string => `basalt-${Date.now()}-${++names}`;

/** Says the marker to the demo, which repeats it. */
async function say(marker: string, rhone: Partial<RhoneRequest>): Promise<void> {
  const call = { model: "demo", messages: [{ role: "user" as const, content: marker }], store: true, rhone };
  const { choices } = await openai.chat.completions.create(call);
  expect(choices[0]!.message.content).toContain(marker);
  let text = "";
  for await (const chunk of await openai.chat.completions.create({ ...call, stream: true }))
    text += chunk.choices[0]?.delta.content ?? "";
  expect(text).toContain(marker);
  const response = await openai.responses.create({ model: "demo", input: marker, ...({ rhone } as object) });
  expect(response.output_text).toContain(marker);
}

it("no file of the gateway has what was said in calls whose content is not stored", async () => {
  const unstored = [newMarker(), newMarker(), newMarker()];
  await say(unstored[0]!, { store: "metadata", context_mode: "stateful" });
  await say(unstored[1]!, { store: "metadata", context_mode: "stateless" });
  await say(unstored[2]!, { store: "none", context_mode: "stateless" });
  // What is written later than these is stored by the time that a later call of each kind is.
  const stored = [newMarker(), newMarker()];
  await say(stored[0]!, { context_mode: "stateful" });
  await say(stored[1]!, { context_mode: "stateless" });
  await vi.waitFor(() => expect(stored.map(isStored)).toEqual([true, true]), { timeout: 20_000, interval: 200 });
  expect(unstored.map(isStored)).toEqual([false, false, false]);
});
