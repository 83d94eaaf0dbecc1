import { afterEach, expect, it, vi } from "vitest";
import { logInternalError } from "../../src/canonical/log-internal-error.ts";

afterEach(() => vi.restoreAllMocks());

function logged(id: string, cause: unknown): string {
  const log = vi.spyOn(console, "error").mockImplementation(() => {});
  logInternalError(id, cause);
  return log.mock.calls.flat().join(" ");
}

function thrownBy(work: () => unknown): unknown {
  try {
    return work();
  } catch (thrown) {
    return thrown;
  }
}

it("the log line of an internal error has the id, the error's name and where it was thrown", () => {
  const line = logged("call_1", new TypeError("x"));
  expect(line).toMatch(/^internal error call_1 TypeError\n {4}at .*log-internal-error\.test\.ts:\d+:\d+/);
});

it("the log line of an internal error has no message of it or of its cause, which may quote content", () => {
  const cause = thrownBy(() => JSON.parse('{"text": secret words\n    at the end}') as unknown);
  expect(String(cause)).toContain("secret");
  const line = logged("req_1", new Error("secret words", { cause }));
  expect(line).toMatch(/caused by SyntaxError\n {4}at JSON\.parse/);
  expect(line).not.toMatch(/secret|at the end/);
});

it("the log line of a thrown value that is no error has only its type", () => {
  expect(logged("req_1", "secret words")).toBe("internal error req_1 a thrown string");
});
