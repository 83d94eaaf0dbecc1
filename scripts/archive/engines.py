"""Reads the files of the record with ClickHouse (chdb), and as an Iceberg table of the same files; prints what they have as JSON."""

import glob
import json
import os
import sys
import tempfile

import chdb
import pyarrow.parquet as pq
from pyiceberg.catalog.sql import SqlCatalog

folder = os.path.abspath(sys.argv[1])
pattern = f"{folder}/records/v1/calls/**/*.parquet"

answer = chdb.query(
    f"""SELECT count() AS rows, sum(cost_micros_usd) AS cost, sum(tokens_output) AS tokens,
               quantileExactInclusive(0.5)(latency_total_ms) AS p50, quantileExactInclusive(0.95)(latency_total_ms) AS p95
        FROM file('{pattern}', Parquet)""",
    "JSONEachRow",
)
clickhouse = {name: float(value) for name, value in json.loads(str(answer)).items()}

files = sorted(glob.glob(pattern, recursive=True))
with tempfile.TemporaryDirectory() as warehouse:
    catalog = SqlCatalog("local", uri=f"sqlite:///{warehouse}/catalog.db", warehouse=f"file://{warehouse}")
    catalog.create_namespace("rhone")
    table = catalog.create_table("rhone.calls", schema=pq.read_schema(files[0]))
    table.add_files([f"file://{file}" for file in files])
    rows = table.scan(selected_fields=("cost_micros_usd", "tokens_output")).to_arrow()
    iceberg = {
        "rows": rows.num_rows,
        "cost": sum(rows["cost_micros_usd"].to_pylist()),
        "tokens": sum(rows["tokens_output"].to_pylist()),
    }
print(json.dumps({"clickhouse": clickhouse, "iceberg": iceberg}))
