-- From a bank's own tables to one row per thing that the contract knows. Joins and sums stand here, outside of sesame;
-- names, units and dates are left to `sesame init`.
--     duckdb < data-samples/bank/prejoin.sql        (from the repository's root)

-- One row per client: since when, and what its account held in the last 90 days.
COPY (
    SELECT d.client_id,
           a.date AS opened,
           min(t.balance) AS min_balance,
           CAST(avg(t.balance) AS DECIMAL(12, 2)) AS avg_balance
    FROM 'data-samples/bank/raw/disp.parquet' d
    JOIN 'data-samples/bank/raw/account.parquet' a USING (account_id)
    LEFT JOIN 'data-samples/bank/raw/trans.parquet' t ON t.account_id = a.account_id AND t.date > 981002
    WHERE d.type = 'OWNER'
    GROUP BY ALL
    ORDER BY d.client_id
) TO 'data-samples/bank/joined/clients.parquet' (FORMAT parquet);

-- One row per instalment that was due: the loan's plan, and the booking of the symbol UVER that paid it, oldest first.
COPY (
    WITH due AS (
        SELECT l.loan_id, d.client_id, l.account_id, l.payments, n,
               strptime((19000000 + l.date)::VARCHAR, '%Y%m%d')::DATE + to_months(n::INTEGER) AS due
        FROM 'data-samples/bank/raw/loan.parquet' l
        JOIN 'data-samples/bank/raw/disp.parquet' d ON d.account_id = l.account_id AND d.type = 'OWNER'
        CROSS JOIN range(1, 61) AS months(n)
        WHERE n <= l.duration
    ), paid AS (
        SELECT account_id, amount, strptime((19000000 + date)::VARCHAR, '%Y%m%d')::DATE AS day
        FROM 'data-samples/bank/raw/trans.parquet' WHERE k_symbol = 'UVER'
    )
    SELECT due.loan_id * 100 + due.n AS instalment_id, due.loan_id, due.client_id,
           due.due::DATE AS due_date, due.payments AS instalment,
           coalesce(min(paid.amount), 0) AS paid_amount, min(paid.day) AS paid_date
    FROM due
    LEFT JOIN paid ON paid.account_id = due.account_id AND paid.day >= due.due AND paid.day < due.due + INTERVAL 1 MONTH
    WHERE due.due <= DATE '1998-12-31'
    GROUP BY ALL
    ORDER BY instalment_id
) TO 'data-samples/bank/joined/loan_instalments.parquet' (FORMAT parquet);

-- One row per household bill: the bookings of the symbol SIPO.
COPY (
    SELECT t.trans_id, d.client_id, t.account_id, t.date, t.amount, t.amount AS paid_amount, t.date AS paid_date
    FROM 'data-samples/bank/raw/trans.parquet' t
    JOIN 'data-samples/bank/raw/disp.parquet' d ON d.account_id = t.account_id AND d.type = 'OWNER'
    WHERE t.k_symbol = 'SIPO'
    ORDER BY t.trans_id
) TO 'data-samples/bank/joined/household_bills.parquet' (FORMAT parquet);

-- One row per payment by card.
COPY (
    SELECT t.trans_id, d.client_id, t.date, t.amount
    FROM 'data-samples/bank/raw/trans.parquet' t
    JOIN 'data-samples/bank/raw/disp.parquet' d ON d.account_id = t.account_id AND d.type = 'OWNER'
    WHERE t.operation = 'VYBER KARTOU'
    ORDER BY t.trans_id
) TO 'data-samples/bank/joined/card_purchases.parquet' (FORMAT parquet);
