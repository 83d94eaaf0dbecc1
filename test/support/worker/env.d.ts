declare namespace Cloudflare {
  interface Env {
    TEST_MIGRATIONS: import("cloudflare:test").D1Migration[];
    /** "1": no case is left out. */
    TEST_ALL: string;
  }
  interface GlobalProps {
    mainModule: typeof import("../../../src/worker.ts");
  }
}
