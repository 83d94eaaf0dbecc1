import type { McpAnswer } from "../../mcp/messages.ts";

/**
 * Questions of servers that wait for their answers on an open connection, by the ids of their checkpoints. They are lost with the object,
 * as the connection is.
 */
export class LiveQuestions {
  readonly #waiting = new Map<string, (answer: McpAnswer) => void>();

  /** Resolves to the answer; to `cancel` after `ms` milliseconds, or when the signal is aborted. */
  async wait(id: string, ms: number, signal: AbortSignal): Promise<McpAnswer> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const cancel = (): void => this.answer(id, { action: "cancel" });
    try {
      return await new Promise<McpAnswer>((resolve) => {
        this.#waiting.set(id, resolve);
        timer = setTimeout(cancel, ms);
        if (signal.aborted) cancel();
        else signal.addEventListener("abort", cancel, { once: true });
      });
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", cancel);
      this.#waiting.delete(id);
    }
  }

  has(id: string): boolean {
    return this.#waiting.has(id);
  }

  answer(id: string, answer: McpAnswer): void {
    this.#waiting.get(id)?.(answer);
  }
}
