import { describe, expect, it } from "vitest";
import type { OutboundNetwork } from "../../src/outbound/bounded-fetch.ts";
import { UrlRefusal } from "../../src/outbound/public-url.ts";
import { NATIVE_TOOLS, type ToolOutput } from "../../src/runs/tools/native-tools.ts";
import { answerTool } from "../fake/tools.ts";
import { TOOLS } from "../support/runs/client.ts";

const fetched: string[] = [];
const answer: typeof fetch = async (input, init) => {
  const request = new Request(input, init);
  fetched.push(request.url);
  return await answerTool(request);
};
const network: OutboundNetwork = {
  reach: { own: new Set(["gateway.example.com"]), registered: new Set() },
  fetchPublic: answer,
  fetchRegistered: answer,
};

const read = async (url: string, hosts?: readonly string[]): Promise<ToolOutput> =>
  await NATIVE_TOOLS.web_fetch.run({ url }, { now: 0, hosts, network, signal: AbortSignal.timeout(10_000) });

describe("web_fetch", () => {
  it("returns the text of a page, without what no reader sees", async () => {
    expect(await read(`${TOOLS}/fetched/page`)).toEqual({ text: "T\nRhone\nA & B", isError: false });
  });

  it("reads a page with elements that have no end", async () => {
    expect(await read(`${TOOLS}/fetched/void`)).toEqual({ text: "Seen", isError: false });
  });

  it("follows a redirect to a host that may be fetched, and to no other", async () => {
    expect((await read(`${TOOLS}/fetched/elsewhere`)).text).toContain("Rhone");
    fetched.length = 0;
    await expect(read(`${TOOLS}/fetched/elsewhere`, ["tools.example.com"])).rejects.toThrow(
      new UrlRefusal("expected a URL of tools.example.com"),
    );
    expect(fetched).toEqual([`${TOOLS}/fetched/elsewhere`]);
  });

  it.each([
    `${TOOLS}/fetched/away`,
    "http://tools.example.com/page",
    "https://127.0.0.1/page",
    "https://gateway.example.com/v1/keys",
    "https://user:password@tools.example.com/page",
  ])("refuses a URL that is not public, or leads to none: %s", async (url) => {
    await expect(read(url)).rejects.toThrow(UrlRefusal);
  });
});
