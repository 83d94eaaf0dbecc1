import { describe, expect, it } from "vitest";
import { z } from "zod";
import type { GatewayError } from "../../src/canonical/error.ts";
import { SURFACES } from "../../src/surfaces/index.ts";
import { validate } from "../../src/surfaces/validate.ts";

function refusal(schema: z.ZodType, value: unknown): string {
  try {
    validate(schema, value);
  } catch (thrown) {
    const { code, param, message } = thrown as GatewayError;
    expect(code).toBe("request.invalid");
    expect(message.startsWith(`${param}: `)).toBe(true);
    return message;
  }
  return expect.unreachable("it must be refused");
}

describe("the refusal of a value by its schema", () => {
  const animal = z.discriminatedUnion("type", [
    z.strictObject({ type: z.literal("cat"), lives: z.int().min(1).max(9) }),
    z.strictObject({ type: z.literal("dog"), name: z.string().min(2) }),
  ]);
  const schema = z
    .strictObject({
      text: z.string().max(3),
      list: z.array(z.string()).max(2),
      share: z.number().gt(0).lt(1),
      step: z.number().multipleOf(5),
      url: z.url(),
      word: z.enum(["a", "b"]),
      pairs: z.record(z.string().max(3), z.string()),
      either: z.union([z.string(), z.array(animal)]),
      named: z.string().regex(/^x/, "expected an x first"),
    })
    .partial();

  it.each([
    [{ text: 1 }, "text: expected string, received number"],
    [{ text: "long" }, "text: expected at most 3 characters"],
    [{ list: ["a", "b", "c"] }, "list: expected at most 2 items"],
    [{ share: 0 }, "share: expected more than 0"],
    [{ share: 1 }, "share: expected less than 1"],
    [{ step: 7 }, "step: expected a multiple of 5"],
    [{ url: "here" }, "url: expected a valid url"],
    [{ word: "c" }, 'word: expected one of "a"|"b"'],
    [{ pairs: { long1: "" } }, "pairs.long1: expected another name: expected at most 3 characters"],
    [{ either: 1 }, "either: expected string, or array"],
    [{ either: [{ type: "cow" }] }, "either[0].type: expected one of cat, dog"],
    [{ either: [{ type: "cat", lives: 10 }] }, "either[0].lives: expected at most 9"],
    [{ either: [{ type: "cat", lives: 1.5 }] }, "either[0].lives: expected a whole number"],
    [{ either: [{ type: "dog", name: "x" }] }, "either[0].name: expected at least 2 characters"],
    [{ either: [{ type: "dog", name: "xy", age: 1 }] }, "either[0].age: there is no such member"],
    [{ named: "y" }, "named: expected an x first"],
    [{ other: 1 }, "other: there is no such member"],
    [1, "body: expected object, received number"],
  ])("the refusal of %j names the field and what is expected", (value, told) => {
    expect(refusal(schema, value)).toBe(told);
  });
});

it.each(Object.values(SURFACES))("no word of the library's own reaches the callers of $id", ({ request }) => {
  for (const value of [{}, { messages: [] }, { messages: [{}] }, { input: [] }, { contents: [] }, { tools: 1 }, []])
    expect(refusal(request, value)).not.toMatch(/Too (small|big)|Invalid|[<>]=/);
});
