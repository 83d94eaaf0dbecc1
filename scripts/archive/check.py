"""Reads the files of the record with DuckDB and pyarrow, and prints what they have as JSON."""

import glob
import json
import sys

import duckdb
import pyarrow.compute as pc
import pyarrow.parquet as pq

folder = sys.argv[1]
files = sorted(glob.glob(f"{folder}/records/v1/calls/**/*.parquet", recursive=True))

table = pq.read_table(files)
arrow = {
    "rows": table.num_rows,
    "cost": pc.sum(table["cost_micros_usd"]).as_py(),
    "tokens": pc.sum(table["tokens_output"]).as_py(),
    "p50": pc.quantile(table["latency_total_ms"], 0.5).to_pylist()[0],
    "p95": pc.quantile(table["latency_total_ms"], 0.95).to_pylist()[0],
    "types": [str(table.schema.field(name).type) for name in ("id", "cost_micros_usd", "created_at", "stream")],
}

rows, cost, tokens, p50, p95, ids = duckdb.sql(
    f"""SELECT count(*), sum(cost_micros_usd)::BIGINT, sum(tokens_output)::BIGINT,
               quantile_cont(latency_total_ms, 0.5), quantile_cont(latency_total_ms, 0.95), count(DISTINCT id)
        FROM read_parquet('{folder}/records/v1/calls/**/*.parquet', hive_partitioning = true)"""
).fetchall()[0]
(summed,) = duckdb.sql(
    f"""SELECT sum(calls)::BIGINT FROM read_parquet('{folder}/records/v1/call_rollups/**/*.parquet', hive_partitioning = true)"""
).fetchall()[0]
assert summed == rows, f"rollups: expected {rows} calls, found {summed}"
print(json.dumps({"arrow": arrow, "duckdb": {"rows": rows, "cost": cost, "tokens": tokens, "p50": p50, "p95": p95, "ids": ids}}))
