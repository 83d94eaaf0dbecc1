import type { Ledger, GrantRequest, Settlement, GrantResult, GrantReturn } from "./ledger.ts";

/** How long a call waits for money that others hold and may not need: as long as for a busy session. Milliseconds. */
const MAX_WAIT_MS = 30_000;

/** What an isolate tells of the calls it made, and gives back. */
export type UsageReport = { settled: readonly Settlement[]; unused: readonly GrantReturn[] };

/**
 * The door to a ledger. Calls are reserved for what they may cost at most, and mostly cost less: who finds nothing left
 * waits, in order, for what comes back, as long as that would be enough.
 */
export class WaitQueue {
  readonly #ledger: Ledger;
  readonly #waiting: { need: GrantRequest; answer: (result: GrantResult) => void }[] = [];

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  async take(request: GrantRequest): Promise<GrantResult> {
    const result = this.#waiting.length === 0 ? this.#ledger.grant(request) : undefined;
    if (result !== undefined && !mustWait(result)) return result;
    return await new Promise<GrantResult>((resolve) => {
      const waiter = { need: request, answer: resolve };
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        resolve(this.#ledger.grant(request));
      }, MAX_WAIT_MS);
      waiter.answer = (answer) => {
        clearTimeout(timer);
        resolve(answer);
      };
      this.#waiting.push(waiter);
      this.#serve();
    });
  }

  report({ settled, unused }: UsageReport): void {
    for (const call of settled) this.#ledger.settle(call);
    for (const grant of unused) this.#ledger.returnUnused(grant);
    this.#serve();
  }

  /** One after the other: a small call must not overtake a large one for ever. */
  #serve(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const result = this.#ledger.grant(first.need);
      if (mustWait(result)) return;
      this.#waiting.shift();
      first.answer(result);
    }
  }
}

const mustWait = (result: GrantResult): boolean => "refused" in result && result.wait === true;
