import type { Result, Router } from "hono/router";
import { TrieRouter } from "hono/router/trie-router";

/**
 * Hono's trie router with a cache for routes without parameters, which are all inference paths except Gemini's. The
 * cache never holds more entries than there are routes.
 */
export class CachedRouter<T> implements Router<T> {
  readonly name = "Matcher";
  readonly #trie = new TrieRouter<T>();
  readonly #routes = new Set<string>();
  readonly #matches = new Map<string, Result<T>>();

  add(method: string, path: string, handler: T): void {
    this.#trie.add(method, path, handler);
    this.#routes.add(`${method} ${path}`);
    this.#matches.clear();
  }

  match(method: string, path: string): Result<T> {
    const route = `${method} ${path}`;
    const cached = this.#matches.get(route);
    if (cached !== undefined) return cached;
    const match = this.#trie.match(method, path);
    if (this.#routes.has(route)) this.#matches.set(route, match);
    return match;
  }
}
