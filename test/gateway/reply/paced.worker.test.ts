import { expect, it } from "vitest";
import { concatBytes, decodeUtf8, toByteStream } from "../../../src/wire/bytes.ts";
import { createPacedReader } from "../../../src/wire/tee.ts";

/** A clock that stands still: whatever comes, comes in quick succession. */
const STILL = (): number => 0;

async function chunksOf(body: ReadableStream<Uint8Array>, heard: (size: number) => void = () => {}): Promise<string[]> {
  const reader = createPacedReader(body, STILL);
  const chunks: Uint8Array[] = [];
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    chunks.push(read.value!);
    heard(read.value!.length);
  }
  return [...chunks.map(decodeUtf8), decodeUtf8(concatBytes(chunks))];
}

const asked = (model: string): Promise<Response> =>
  fetch("http://fake.test/v1/chat/completions", {
    method: "POST",
    body: JSON.stringify({ model, stream: true, messages: [{ role: "user", content: "x" }] }),
  });

it("a paced reader joins chunks that arrive in quick succession, and returns all of them", async () => {
  const whole = await (await asked("long-3000")).text();
  const chunks = await chunksOf((await asked("long-3000")).body!);
  const told = chunks.pop();
  expect(told === whole).toBe(true);
  expect(chunks.length).toBeLessThan(3_000);
});

const words = (count: number): string[] => Array.from({ length: count }, (_, i) => `word ${i} `);

it("a paced reader returns a few chunks that arrive together one by one, as at an answer's start and end", async () => {
  const few = toByteStream(
    (async function* () {
      yield* words(8);
    })(),
  );
  expect(await chunksOf(few)).toEqual([...words(8), words(8).join("")]);
});

it.each([3, 30])("a paced reader fails where its body does, behind %i chunks", async (count) => {
  const broken = toByteStream(
    (async function* () {
      yield* words(count);
      throw new Error("connection reset");
    })(),
  );
  await expect(chunksOf(broken)).rejects.toThrow("connection reset");
});

it("a paced reader reads at most 256 KiB and a little ahead of a slow client", async () => {
  const KIB = 1024;
  let pulled = 0;
  let read = 0;
  let ahead = 0;
  const body = toByteStream(
    (async function* () {
      for (; pulled < 4 * KIB * KIB; pulled += KIB) yield "x".repeat(KIB);
    })(),
  );
  const chunks = await chunksOf(body, (size) => {
    read += size;
    ahead = Math.max(ahead, pulled - read);
  });
  expect(chunks.pop()!.length).toBe(4 * KIB * KIB);
  expect(ahead).toBeLessThan(300 * KIB);
});
