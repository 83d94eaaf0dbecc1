import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { expect, it, vi } from "vitest";
import { freePort, HOST } from "../../scripts/local/port.ts";
import { browser, chromium, Page } from "./browser.ts";
import { baseUrl, key } from "./gateway.ts";

const FILE = join(import.meta.dirname, "../../docs/examples/session.html");

const api = async (path: string, body: object): Promise<Record<string, string>> => {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const response = await fetch(`${baseUrl}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  return (await response.json()) as Record<string, string>;
};

const CARDS = "[...document.querySelectorAll('article p')].map((p) => p.textContent)";
const STATE = "document.querySelector('#state').textContent";
const send = (text: string): string =>
  `(() => { const form = document.forms.ask; form.elements.text.value = ${JSON.stringify(text)}; form.requestSubmit(); })()`;

it.skipIf(chromium === undefined)(
  "two tabs of the example page show the same session, for calls of any client",
  async () => {
    const port = await freePort();
    const page = createServer((_, response) => {
      void readFile(FILE).then((html) => response.setHeader("content-type", "text/html").end(html));
    }).listen(port, HOST);
    const { url, close } = await browser(chromium!);
    try {
      const { id } = await api("/v1/sessions", {});
      const { token } = await api(`/v1/sessions/${id}:token`, { ttl_s: 600 });
      const address = `http://${HOST}:${port}/session.html#${new URLSearchParams({ gateway: baseUrl, token: token! }).toString()}`;
      const [first, second] = await Promise.all([Page.open(url, address), Page.open(url, address)]);
      for (const tab of [first, second])
        await vi.waitFor(async () => expect(await tab.evaluate(STATE)).toBe("live"), { timeout: 10_000, interval: 50 });
      await first.evaluate(send("My name is Alice."));
      await vi.waitFor(async () => expect(await second.evaluate(CARDS)).toHaveLength(1), {
        timeout: 10_000,
        interval: 50,
      });
      await second.evaluate(send("What's my name?"));
      const rhone = { session_id: id };
      await vi.waitFor(async () => expect(String(await first.evaluate(CARDS))).toContain("Your name is Alice."), {
        timeout: 10_000,
        interval: 50,
      });
      await api("/v1/chat/completions", {
        model: "demo",
        stream: false,
        messages: [{ role: "user", content: "Over HTTP" }],
        rhone,
      });
      for (const tab of [first, second])
        await vi.waitFor(async () => expect(await tab.evaluate(CARDS)).toHaveLength(3), {
          timeout: 10_000,
          interval: 50,
        });
      expect(String(await first.evaluate(CARDS))).toContain("Over HTTP");
      expect(await second.evaluate(CARDS)).toEqual(await first.evaluate(CARDS));
      const to = process.env.RHONE_PICTURES;
      if (to !== undefined)
        for (const [i, tab] of [first, second].entries())
          await writeFile(join(to, `tab-${i + 1}.png`), Buffer.from(await tab.picture(), "base64"));
    } finally {
      await close();
      page.close();
    }
  },
);
