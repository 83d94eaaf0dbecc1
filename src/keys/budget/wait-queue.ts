import type { GrantRequest, GrantResult, GrantReturn, Settlement } from "./grant.ts";
import type { Ledger } from "./ledger.ts";

/** How long a call waits for money that other calls reserved and may not need: as long as for a busy session. Milliseconds. */
const MAX_WAIT_MS = 30_000;

/** An isolate's report to an account: calls that ended, and grants it returns. */
export type UsageReport = { settled: readonly Settlement[]; unused: readonly GrantReturn[] };

/**
 * A FIFO queue in front of a ledger. Calls reserve the most they may cost, and mostly cost less. A request that does not
 * fit waits while outstanding reservations, if returned, would make it fit; otherwise it is refused at once.
 */
export class WaitQueue {
  readonly #ledger: Ledger;
  readonly #waiting: { need: GrantRequest; answer: (result: GrantResult) => void }[] = [];

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  /** Resolves to a grant or a refusal, after MAX_WAIT_MS at the latest. */
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

  /** Settles calls and takes grants back, then serves waiting requests. */
  report({ settled, unused }: UsageReport): void {
    this.#ledger.settle(...settled);
    for (const grant of unused) this.#ledger.returnUnused(grant);
    this.#serve();
  }

  /** Strictly in order: otherwise small calls could overtake a large one forever. */
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
