import { spawn } from "node:child_process";
import { once } from "node:events";
import { PROJECT } from "./settings.ts";
import { UserError, runScript } from "./user-error.ts";

/** What `.ci/run` checks, with nothing sampled, and what takes too long for it. */
const STAGES: readonly (readonly string[])[] = [
  ["check:static"],
  ["test"],
  ["build"],
  ["test:clients"],
  ["test:agents"],
  ["test:corpus"],
  ["test:crash", "--kills", "200", "--sessions", "4"],
  ["test:run-crash", "--kills", "60"],
  ["test:archive", "--rows", "1000000", "--hot-megabytes", "200"],
  ["test:archive-kills", "--kills", "40"],
  ["bench:check"],
  ["bench:faults"],
  ["bench:cost"],
  ["test:readme"],
];

/** `npm run check:all`: runs every stage, also after one that failed, and lists the seconds of each. */
await runScript(async () => {
  const results = [];
  for (const [name, ...args] of STAGES) {
    console.log(`\n== ${[name, ...args].join(" ")}`);
    const start = performance.now();
    const child = spawn("npm", ["run", name!, "--", ...args], {
      cwd: PROJECT,
      stdio: ["ignore", "inherit", "inherit"],
      // The README's Python needs the packages of test/clients/requirements.txt: PYTHON names one that has them.
      env: { ...process.env, PYTHON: process.env.PYTHON ?? "", RHONE_TEST_ALL: "1" },
    });
    const [code] = (await once(child, "close")) as [number | null];
    results.push({ name: name!, isPassed: code === 0, seconds: Math.round((performance.now() - start) / 1000) });
  }
  console.log();
  for (const { name, isPassed, seconds } of results)
    console.log(`${isPassed ? "passed" : "FAILED"}  ${String(seconds).padStart(5)} s  ${name}`);
  const failed = results.filter(({ isPassed }) => !isPassed).length;
  console.log(`${results.reduce((sum, { seconds }) => sum + seconds, 0)} s in all`);
  const line = `${results.length - failed} passed, ${failed} failed`;
  if (failed > 0) throw new UserError(line);
  console.log(line);
});
