import fc from "fast-check";

/** The same cases on every machine and in every run. `RHONE_FUZZ_SEED` and `RHONE_FUZZ_RUNS` look for new ones. */
fc.configureGlobal({ seed: Number(process.env.RHONE_FUZZ_SEED ?? 1) });
