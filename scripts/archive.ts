import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs, promisify } from "node:util";
import {
  addCalls,
  expectSame,
  HOUR,
  makeRecord,
  ORG,
  RATE,
  SLICE,
  START,
  type Sums,
  summaryOf,
} from "./archive/calls.ts";
import { post, serve } from "./archive/gateway.ts";
import { runScript, UserError } from "./user-error.ts";

/**
 * `npm run test:archive [-- --rows N --hot-megabytes M]`: fills the record with calls, has it sealed while D1 stays below a
 * size, and compares what the gateway's reader, DuckDB and pyarrow find in it with a plain list of the same.
 */
const { values } = parseArgs({
  options: { rows: { type: "string", default: "30000" }, "hot-megabytes": { type: "string", default: "15" } },
});
const ROWS = Number(values.rows);
const HOT_BYTES = Number(values["hot-megabytes"]) * 1_000_000;
const BATCH = 1_000;
/** Batches after which the size of D1 is looked at. */
const CHECK = 5;
const run = promisify(execFile);
const IS_WHOLE = process.env.RHONE_TEST_ALL === "1";
/** PyIceberg says much on its way. */
const MUCH = { maxBuffer: 64 * 1024 * 1024 };
/** Between two looks D1 goes on growing. */
const ALLOWANCE = 1.4;

await runScript(async () => {
  const folder = mkdtempSync(join(tmpdir(), "rhone-archive-"));
  try {
    const python = await makePython(folder);
    const { origin, pid } = await serve(folder);
    const list: Sums = { rows: 0, cost: 0, tokens: 0, latencies: [] };
    let sealing = 0;
    let largest = 0;
    const seal = async (now: number, hot: number): Promise<void> => {
      for (let hasMore = true; hasMore;) {
        const before = cpuOf(pid());
        const answer = await post<{ hasMore: boolean; bytes: number }>(
          `${origin}/__seal?now=${now}&slice=${SLICE}&hot=${hot}`,
        );
        sealing += cpuOf(pid()) - before;
        ({ hasMore } = answer);
        largest = Math.max(largest, answer.bytes);
      }
    };
    for (let from = 0; from < ROWS; from += BATCH) {
      const records = Array.from({ length: Math.min(BATCH, ROWS - from) }, (_, i) => makeRecord(from + i));
      addCalls(list, records);
      const now = records.at(-1)!.createdAt;
      await post(`${origin}/__append?now=${now}`, records);
      if ((from / BATCH) % CHECK === CHECK - 1) await seal(now, HOT_BYTES);
    }
    await seal(START + (ROWS / RATE) * 1_000 + 2 * SLICE, HOT_BYTES);
    const range = `org=${ORG}&from=${START - HOUR}&to=${START + (ROWS / RATE) * 1_000 + HOUR}`;
    const start = performance.now();
    const found = await post<typeof list>(`${origin}/__scan?${range}`);
    const scanMs = performance.now() - start;
    const sums = await post<Record<string, number>>(`${origin}/__sums?${range}`);
    const bytes = await download(origin, folder);
    const examples = await runExamples(python, folder);
    const { stdout } = await run(python, [join(import.meta.dirname, "archive", "check.py"), folder]);
    const { arrow, duckdb } = JSON.parse(stdout) as Record<"arrow" | "duckdb", Record<string, unknown>>;
    const expected = summaryOf(list);
    expectSame("the gateway's reader", summaryOf(found), expected);
    const { calls: rows, cost_micros_usd: cost, tokens_output: tokens } = sums;
    expectSame("the gateway's sums", { rows, cost, tokens }, { rows: list.rows, cost: list.cost, tokens: list.tokens });
    if (!isNear(sums.p95!, expected.p95)) throw new UserError(`sums: expected p95 ${expected.p95}, found ${sums.p95}`);
    expectSame("DuckDB", duckdb, { ...expected, ids: list.rows });
    expectSame("pyarrow", arrow, { ...expected, types: ["string", "int64", "timestamp[us, tz=UTC]", "bool"] });
    if (IS_WHOLE) {
      const engines = await run(python, [join(import.meta.dirname, "archive", "engines.py"), folder], MUCH);
      const others = JSON.parse(engines.stdout) as Record<"clickhouse" | "iceberg", Record<string, unknown>>;
      expectSame("ClickHouse", others.clickhouse, expected);
      expectSame("PyIceberg", others.iceberg, { rows: expected.rows, cost: expected.cost, tokens: expected.tokens });
    }
    if (largest > HOT_BYTES * ALLOWANCE)
      throw new UserError(`D1 had ${largest} bytes, expected at most ${HOT_BYTES * ALLOWANCE}`);
    console.log(`docs/records.md: ${examples} blocks ran`);
    const readers = IS_WHOLE ? "DuckDB, pyarrow, ClickHouse and PyIceberg" : "DuckDB and pyarrow";
    console.log(`${ROWS} records: the same in the gateway's reader, ${readers}`);
    console.log(`${(bytes / ROWS).toFixed(0)} bytes a record in files; D1 at most ${(largest / 1e6).toFixed(1)} MB`);
    console.log(
      `${((sealing * 1_000) / ROWS).toFixed(0)} µs CPU a record to seal and remove; read in ${(scanMs / 1e3).toFixed(1)} s`,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  process.exit(0);
});

/** Buckets of durations are one part in fifty wide. */
function isNear(found: number, expected: number): boolean {
  return Math.abs(found - expected) <= 0.02 * expected;
}

/** All files of the record, under their keys. */
async function download(origin: string, folder: string): Promise<number> {
  let bytes = 0;
  for (const key of await post<string[]>(`${origin}/__files`)) {
    const content = Buffer.from(await (await fetch(`${origin}/__file?key=${encodeURIComponent(key)}`)).arrayBuffer());
    mkdirSync(dirname(join(folder, key)), { recursive: true });
    writeFileSync(join(folder, key), content);
    if (key.endsWith(".parquet")) bytes += content.length;
  }
  return bytes;
}

/** Milliseconds of processor time that a process has used. */
function cpuOf(pid: number): number {
  const spent = readdirSync(`/proc/${pid}/task`).map((task) => {
    const [nanoseconds] = readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ");
    return Number(nanoseconds) / 1e6;
  });
  return spent.reduce((sum, ms) => sum + ms, 0);
}

/** Python with DuckDB and pyarrow, and with the others in `check:all`, in an environment of its own. */
async function makePython(folder: string): Promise<string> {
  const environment = join(folder, "venv");
  const python = join(environment, "bin", "python");
  await run("python3", ["-m", "venv", environment]);
  const files = IS_WHOLE ? ["requirements.txt", "requirements-all.txt"] : ["requirements.txt"];
  const requirements = files.flatMap((file) => ["-r", join(import.meta.dirname, "archive", file)]);
  await run(python, ["-m", "pip", "install", "-q", "--disable-pip-version-check", ...requirements]);
  return python;
}

/** Runs the page's blocks that read the files, beside them. */
async function runExamples(python: string, folder: string): Promise<number> {
  const page = readFileSync(join(import.meta.dirname, "../docs/records.md"), "utf8");
  const blocks = Array.from(page.matchAll(/^```python files\n(.*?)^```/gms), ([, code]) => code!);
  for (const code of blocks) {
    const { stdout } = await run(python, ["-c", code], { cwd: folder });
    if (stdout.trim() === "") throw new UserError(`docs/records.md: this prints nothing:\n${code}`);
  }
  if (blocks.length === 0) throw new UserError("docs/records.md: expected blocks fenced as ```python files");
  return blocks.length;
}
