import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, HOST } from "../../scripts/local/port.ts";

/** A Chromium on this machine, if there is one. */
export const chromium = ["chromium", "chromium-browser", "google-chrome"].find(
  (name) => spawnSync("which", [name]).status === 0,
);

type Answer = { id: number; result?: Record<string, unknown>; error?: { message: string } };

/** One page of a browser, spoken to in its own debugging protocol. */
export class Page {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #calls = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      const answer = JSON.parse(String(data)) as Answer;
      this.#waiting.get(answer.id)?.(answer);
    });
  }

  static async open(debugger_: string, url: string): Promise<Page> {
    const made = await fetch(`${debugger_}/json/new?${encodeURIComponent(url)}`, { method: "PUT" });
    const { webSocketDebuggerUrl } = (await made.json()) as { webSocketDebuggerUrl: string };
    const socket = new WebSocket(webSocketDebuggerUrl);
    await new Promise((resolve) => socket.addEventListener("open", resolve, { once: true }));
    return new Page(socket);
  }

  async call(method: string, params: object = {}): Promise<Record<string, unknown>> {
    const id = ++this.#calls;
    const answered = new Promise<Answer>((resolve) => this.#waiting.set(id, resolve));
    this.#socket.send(JSON.stringify({ id, method, params }));
    const { result, error } = await answered;
    if (error !== undefined) throw new Error(error.message);
    return result ?? {};
  }

  /** What an expression is on the page. */
  async evaluate(expression: string): Promise<unknown> {
    const { result } = await this.call("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    return (result as { value?: unknown }).value;
  }

  /** A picture of the page, as PNG in base64. */
  async picture(): Promise<string> {
    return (await this.call("Page.captureScreenshot")).data as string;
  }
}

/** A browser without a window. `close` ends it and all that it has left. */
export async function browser(name: string): Promise<{ url: string; close: () => Promise<void> }> {
  const [port, profile] = await Promise.all([freePort(), mkdtemp(join(tmpdir(), "rhone-browser-"))]);
  const flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=760,900"];
  const child: ChildProcess = spawn(
    name,
    [...flags, `--remote-debugging-port=${port}`, `--user-data-dir=${profile}`, "about:blank"],
    { stdio: "ignore", detached: true },
  );
  const url = `http://${HOST}:${port}`;
  const close = async (): Promise<void> => {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    await ended;
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  for (const deadline = Date.now() + 20_000; Date.now() < deadline;) {
    const version = await fetch(`${url}/json/version`).catch(() => undefined);
    if (version?.ok === true) return { url, close };
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await close();
  throw new Error("the browser did not start");
}
