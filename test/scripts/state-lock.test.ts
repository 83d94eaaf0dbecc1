import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { lockState } from "../../scripts/local/state-lock.ts";

it("one gateway at a time has a directory of state, and the next one has it when that was killed", async () => {
  const dir = mkdtempSync(join(tmpdir(), "rhone-state-lock-"));
  const other = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)", "scripts/serve.ts"], { stdio: "ignore" });
  await once(other, "spawn");
  writeFileSync(join(dir, "claimed-by"), `${other.pid}\n`);
  expect(() => lockState(dir)).toThrow(
    `RHONE_STATE_DIR: another gateway (process ${other.pid}) keeps its state in ${dir}`,
  );
  other.kill("SIGKILL");
  await once(other, "exit");
  lockState(dir);
  expect(readFileSync(join(dir, "claimed-by"), "utf8")).toBe(`${process.pid}\n`);
  rmSync(dir, { recursive: true });
});
