import { describe, expect, it } from "vitest";
import {
  fetchBounded,
  openBounded,
  OutboundError,
  type OutboundNetwork,
  readBounded,
} from "../../src/outbound/bounded-fetch.ts";

const networkOf = (answer: (url: string) => Response): OutboundNetwork => {
  const fetching = (async (url: string) => answer(url)) as typeof fetch;
  return { reach: { own: new Set(), registered: new Set() }, fetchPublic: fetching, fetchRegistered: fetching };
};
const URL_OF_PAGE = "https://example.com/page";
const signal = new AbortController().signal;

/** A body that sends these texts and stays open, and what has become of it. */
function openBody(...texts: string[]) {
  const state = { isCancelled: false };
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => texts.forEach((text) => controller.enqueue(new TextEncoder().encode(text))),
    cancel: () => void (state.isCancelled = true),
  });
  return { body, state };
}

describe("a bounded answer", () => {
  it.each([
    [0, "", false],
    [5, "abcde", true],
    [6, "abcdef", false],
    [7, "abcdef", false],
  ])("of at most %d bytes", async (maxBytes, text, isCut) => {
    const answer = await fetchBounded(
      URL_OF_PAGE,
      { maxBytes, signal },
      networkOf(() => new Response("abcdef", { status: 201 })),
    );
    expect(answer).toMatchObject({ status: 201, isCut });
    expect(new TextDecoder().decode(answer.body)).toBe(text);
  });

  it("is empty without a body", async () => {
    const answer = await fetchBounded(
      URL_OF_PAGE,
      { maxBytes: 1, signal },
      networkOf(() => new Response(null, { status: 204 })),
    );
    expect(answer).toMatchObject({ status: 204, isCut: false, body: new Uint8Array(0) });
  });

  it("cancels what it does not read", async () => {
    const { body, state } = openBody("abc", "def");
    const answer = await fetchBounded(
      URL_OF_PAGE,
      { maxBytes: 4, signal },
      networkOf(() => new Response(body)),
    );
    expect(answer.isCut).toBe(true);
    expect(state.isCancelled).toBe(true);
  });
});

describe("an answer that is read as it arrives", () => {
  it("is left by its reader, and by a signal", async () => {
    const left = openBody("abc");
    for await (const chunk of readBounded(new Response(left.body), { maxBytes: 10, signal })) {
      expect(chunk).toHaveLength(3);
      break;
    }
    expect(left.state.isCancelled).toBe(true);

    const aborted = openBody("abc");
    const abort = new AbortController();
    const chunks = readBounded(new Response(aborted.body), { maxBytes: 10, signal: abort.signal });
    await chunks.next();
    const next = chunks.next();
    abort.abort(new Error("given up"));
    await expect(next).rejects.toThrow("given up");
    expect(aborted.state.isCancelled).toBe(true);
  });

  it("says that it broke off", async () => {
    const body = new ReadableStream({ pull: (controller) => controller.error(new Error("reset")) });
    await expect(readBounded(new Response(body), { maxBytes: 10, signal }).next()).rejects.toThrow(
      new OutboundError("the answer broke off", { isSent: true }),
    );
  });
});

describe("a redirect", () => {
  const network = networkOf((url) =>
    url === URL_OF_PAGE
      ? new Response(null, { status: 307, headers: { location: "https://other.example.com/" } })
      : new Response("other"),
  );

  it("is followed by a GET, and by nothing else", async () => {
    expect(await (await openBounded(URL_OF_PAGE, { signal }, network)).text()).toBe("other");
    expect((await openBounded(URL_OF_PAGE, { method: "POST", signal }, network)).status).toBe(307);
  });

  it("to a private address is refused", async () => {
    const inside = networkOf(() => new Response(null, { status: 302, headers: { location: "https://10.0.0.1/" } }));
    await expect(openBounded(URL_OF_PAGE, { signal }, inside)).rejects.toThrow("not by its address");
  });
});
