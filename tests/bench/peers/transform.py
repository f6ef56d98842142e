"""The transform benchmark as Python programs. Usage: transform.py ENGINE csv|ndjson|group|from-ndjson INPUT OUTPUT.

ENGINE is csv (the module), pandas, duckdb or polars. Each as its users write it, on one thread.
"""

import csv
import json
import sys


def by_csv(case, source, target):
    """The csv module, row by row."""
    groups = {}
    with open(source, newline="", encoding="utf-8") as f, open(target, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        for row in (map(json.loads, f) if case == "from-ndjson" else csv.DictReader(f)):
            amount = float(row["amount"])
            if case == "group":
                total = groups.setdefault(row["category"], [0, 0.0])
                total[0] += 1
                total[1] += amount
            elif amount > 0:
                fields = (row["id"], round(amount * 1.21, 2), row["date"], row["category"].strip().lower())
                if case != "ndjson":
                    writer.writerow(fields)
                else:
                    out.write(json.dumps(dict(zip(("id", "round", "date", "lower"), fields))) + "\n")
        for name in sorted(groups):
            writer.writerow((name, *groups[name]))


def by_pandas(case, source, target):
    """A data frame in memory."""
    import pandas

    frame = pandas.read_json(source, lines=True) if case == "from-ndjson" else pandas.read_csv(source)
    if case == "group":
        frame.groupby("category").amount.agg(["count", "sum"]).to_csv(target)
        return
    frame = frame[frame.amount > 0]
    frame = frame.assign(amount=(frame.amount * 1.21).round(2), category=frame.category.str.strip().str.lower())
    if case != "ndjson":
        frame.to_csv(target, index=False)
    else:
        frame.to_json(target, orient="records", lines=True)


def by_duckdb(case, source, target):
    """COPY of a query over read_csv, with exact decimals as in ours."""
    import duckdb

    base = duckdb.connect()
    base.execute("SET threads = 1")
    kinds = "{'id': 'VARCHAR', 'amount': 'DECIMAL(12,2)', 'date': 'VARCHAR', 'category': 'VARCHAR'}"
    rows = (f"read_json('{source}', format = 'newline_delimited', columns = {kinds})" if case == "from-ndjson" else
            f"read_csv('{source}', header = true, columns = {kinds})")
    query = (f"SELECT id, round(amount * 1.21, 2), date, lower(trim(category)) FROM {rows} WHERE amount > 0"
             if case != "group" else
             f"SELECT category, count(*), sum(amount) FROM {rows} GROUP BY category ORDER BY category")
    base.execute(f"COPY ({query}) TO '{target}' (FORMAT {'json' if case == 'ndjson' else 'csv'})")


def by_polars(case, source, target):
    """A lazy frame, streamed where Polars can."""
    import polars

    frame = polars.scan_ndjson(source) if case == "from-ndjson" else polars.scan_csv(source)
    if case == "group":
        frame.group_by("category").agg(polars.len(), polars.sum("amount")).sort("category").collect().write_csv(target)
        return
    frame = frame.filter(polars.col("amount") > 0).with_columns(
        (polars.col("amount") * 1.21).round(2), polars.col("category").str.strip_chars().str.to_lowercase())
    if case != "ndjson":
        frame.sink_csv(target)
    else:
        frame.sink_ndjson(target)


if __name__ == "__main__":
    {"csv": by_csv, "pandas": by_pandas, "duckdb": by_duckdb, "polars": by_polars}[sys.argv[1]](*sys.argv[2:])
