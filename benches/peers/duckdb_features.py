"""Runs only the SQL of `sesame plan --sql` in DuckDB over an export, through views that cast and cut off.

usage: duckdb_features.py EXPORT SQL_FILE AS_OF [--out FILE] [--threads N]

The views give each table what the SQL reads: the visible rows with days, months and weeks as integers. They neither
check rows nor remove duplicates, disputes or rows without consent, so DuckDB does less than `sesame run`.
Prints wall and CPU seconds and the peak memory.
"""
import argparse
import resource
import time
from datetime import date, timedelta

import duckdb


def months_ago(column: str, as_of: date) -> str:
    """Whole months back from the end of the as-of date, as the contract defines them."""
    end = as_of + timedelta(days=1)
    months = f"({end.year * 12 + end.month} - (year({column}) * 12 + month({column})))"
    return f"CAST({months} - CASE WHEN day({column}) >= least({end.day}, day(last_day({column}))) THEN 1 ELSE 0 END AS BIGINT)"


def day(column: str) -> str:
    return f"CAST({column} - DATE '1970-01-01' AS BIGINT)"


def views(con, export: str, as_of: date):
    cutoff = as_of + timedelta(days=1)
    seen = f"(known_at IS NULL OR known_at <= TIMESTAMPTZ '{cutoff} 00:00:00+00')"
    sources = f"(SELECT source_id, CAST(round(reliability * 1000) AS BIGINT) AS reliability FROM '{export}/sources.parquet')"
    paid = f"CASE WHEN paid_on > DATE '{as_of}' THEN NULL ELSE paid_on END"
    amount_paid = f"CASE WHEN paid_on > DATE '{as_of}' THEN 0 ELSE amount_paid_minor END"
    asof_day = (as_of - date(1970, 1, 1)).days
    late = ("CASE WHEN amount_due_minor = 0 THEN 0 WHEN paid_day IS NOT NULL THEN greatest(paid_day - due_day, 0) "
            f"WHEN amount_paid_minor >= amount_due_minor THEN 0 ELSE {asof_day} - due_day END")
    con.execute(f"""
      CREATE VIEW subjects AS
      SELECT subject_id, kind, identity_level, profile_fields, verified_fields, conflicting_fields, contact_changes_12m,
        monthly_income_minor, avg_balance_90d_minor, min_balance_90d_minor,
        {months_ago('registered_on', as_of)} AS registered_months_ago, {months_ago('phone_since', as_of)} AS phone_months_ago,
        {months_ago('address_since', as_of)} AS address_months_ago, {months_ago('employment_since', as_of)} AS employment_months_ago,
        {months_ago('last_verified_on', as_of)} AS verified_months_ago
      FROM '{export}/subjects.parquet' WHERE {seen}
      QUALIFY row_number() OVER (PARTITION BY subject_id ORDER BY known_at DESC) = 1;
      CREATE VIEW repayments AS
      SELECT *, {late} AS days_past_due FROM (
        SELECT subject_id, account_id, product, amount_due_minor, {amount_paid} AS amount_paid_minor, balance_minor, limit_minor,
          {day('due_on')} AS due_day, {months_ago('due_on', as_of)} AS due_months_ago,
          {months_ago('opened_on', as_of)} AS opened_months_ago, {day(paid)} AS paid_day, coalesce(s.reliability, 1000) AS reliability
        FROM read_parquet('{export}/repayments/*/*.parquet') LEFT JOIN {sources} s USING (source_id)
        WHERE due_on <= DATE '{as_of}' AND {seen});
      CREATE VIEW utility_payments AS
      SELECT *, {late} AS days_past_due FROM (
        SELECT subject_id, service, amount_due_minor, {amount_paid} AS amount_paid_minor, autopay,
          {day('due_on')} AS due_day, {months_ago('due_on', as_of)} AS due_months_ago,
          {day(paid)} AS paid_day, coalesce(s.reliability, 1000) AS reliability
        FROM read_parquet('{export}/utility_payments/*/*.parquet') LEFT JOIN {sources} s USING (source_id)
        WHERE due_on <= DATE '{as_of}' AND {seen});
      CREATE VIEW purchases AS
      SELECT subject_id, amount_minor, merchant_id, category_code, status, refund_of, reliability, {day('occurred_on')} AS occurred_day,
        {months_ago('occurred_on', as_of)} AS occurred_months_ago,
        ({asof_day} - {day('occurred_on')}) // 7 AS occurred_weeks_ago
      FROM (
        SELECT subject_id, amount_minor, merchant_id, category_code, status, refund_of, coalesce(s.reliability, 1000) AS reliability,
          CAST(occurred_at AT TIME ZONE 'UTC' AS DATE) AS occurred_on
        FROM read_parquet('{export}/purchases/*/*.parquet') LEFT JOIN {sources} s USING (source_id)
        WHERE occurred_at < TIMESTAMPTZ '{cutoff} 00:00:00+00' AND {seen});
      CREATE VIEW sales AS
      SELECT subject_id, channel, orders, turnover_minor, returned_orders, complaints, CAST(round(rating * 1000) AS BIGINT) AS rating,
        {day('ended_on')} AS ended_day, {months_ago('ended_on', as_of)} AS ended_months_ago, coalesce(s.reliability, 1000) AS reliability
      FROM read_parquet('{export}/sales/*/*.parquet') LEFT JOIN {sources} s USING (source_id)
      WHERE ended_on <= DATE '{as_of}' AND {seen};
      CREATE VIEW public_records AS
      SELECT subject_id, kind, status, match, 1000 AS reliability FROM '{export}/public_records.parquet'
      WHERE listed_on <= DATE '{as_of}' AND {seen};
    """)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("export")
    parser.add_argument("sql")
    parser.add_argument("as_of", type=date.fromisoformat)
    parser.add_argument("--out", default="/tmp/duckdb_features.parquet")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    con = duckdb.connect()
    if args.threads:
        con.execute(f"SET threads = {args.threads}")
    con.execute("SET TimeZone = 'UTC'")
    views(con, args.export, args.as_of)
    sql = open(args.sql).read().rstrip().rstrip(";")
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    con.execute(f"COPY ({sql}) TO '{args.out}' (FORMAT parquet)")
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"duckdb wall_s={time.monotonic() - started:.1f} cpu_s={cpu:.1f} peak_gib={after.ru_maxrss / 2**20:.2f}")


if __name__ == "__main__":
    main()
