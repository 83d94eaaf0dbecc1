import OpenAI from "openai";
import { describe, expect, it } from "vitest";
import { baseUrl, key } from "./gateway.ts";
import { PROVIDERS } from "./matrix.ts";

const openai = new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey: key, maxRetries: 0, logLevel: "off" });
const { completions } = openai.chat;

describe.each([...PROVIDERS.map((provider) => `${provider}/say`), "demo"])("a stored completion of %s", (model) => {
  it("a stored completion goes through every method of the official SDK", async () => {
    const metadata = { model, run: `${Date.now()}` };
    const messages = [{ role: "user" as const, content: `hello, ${model}` }];
    const made = await completions.create({ model, messages, store: true, metadata });
    const found = await completions.retrieve(made.id);
    expect(found).toMatchObject({ id: made.id, object: "chat.completion", metadata, choices: made.choices });

    const { data: listed } = await completions.list({ metadata: { run: metadata.run, model } });
    expect(listed).toMatchObject([{ id: made.id, metadata }]);

    const sent = [];
    for await (const message of completions.messages.list(made.id)) sent.push(message);
    expect(sent).toMatchObject([{ id: `${made.id}-0`, ...messages[0] }]);

    const changed = await completions.update(made.id, { metadata: { run: "changed" } });
    expect(changed.metadata).toEqual({ run: "changed" });
    expect(await completions.delete(made.id)).toEqual({
      object: "chat.completion.deleted",
      id: made.id,
      deleted: true,
    });
    await expect(completions.retrieve(made.id)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  });
});
