"""Makes `raw/`: tables as a bank's own systems hold them. Everything in them is invented.

    pip install -r tests/oracle/requirements.txt
    python data-samples/bank/make.py FOLDER

Integer ids, dates as yymmdd, amounts as decimals in Czech koruna, words of its own, one row per booking. The shape follows a
public set of Czech bank tables of the nineties; no row of it is in here.
"""

import calendar
import decimal
import random
import sys
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

CLIENTS, MONTHS, LAST = 300, 24, date(1998, 12, 31)
MONEY = pa.decimal128(12, 2)


def yymmdd(day):
    return (day.year - 1900) * 10_000 + day.month * 100 + day.day


def months_before(day, count):
    at = day.year * 12 + day.month - 1 - count
    return date(at // 12, at % 12 + 1, 1)


def in_month(first, day):
    return first.replace(day=min(day, calendar.monthrange(first.year, first.month)[1]))


def crowns(amount):
    return decimal.Decimal(round(amount * 100)) / 100


class Bank:
    """The tables under way."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.rows = {name: [] for name in ("client", "account", "disp", "loan", "trans")}

    def book(self, account, day, kind, operation, amount, symbol):
        account["balance"] += amount if kind == "PRIJEM" else -amount
        self.rows["trans"].append(
            {
                "trans_id": len(self.rows["trans"]) + 1,
                "account_id": account["account_id"],
                "date": yymmdd(day),
                "type": kind,
                "operation": operation,
                "amount": crowns(amount),
                "balance": crowns(account["balance"]),
                "k_symbol": symbol,
            }
        )

    def client(self, number):
        chance = self.chance
        opened = LAST - timedelta(days=chance.randrange(200, 2_200))
        account = {"account_id": 10_000 + number, "balance": chance.uniform(2_000, 40_000)}
        self.rows["client"].append({"client_id": number, "district_id": chance.randrange(1, 78)})
        self.rows["account"].append(
            {"account_id": account["account_id"], "frequency": "POPLATEK MESICNE", "date": yymmdd(opened)}
        )
        self.rows["disp"].append(
            {"disp_id": number, "client_id": number, "account_id": account["account_id"], "type": "OWNER"}
        )
        income, careful = chance.lognormvariate(9.6, 0.4), chance.random()
        household = chance.uniform(800, 6_000) if chance.random() < 0.7 else None
        loan = self.loan(account, number, opened, income) if chance.random() < 0.45 else None
        for ago in reversed(range(MONTHS)):
            first = months_before(LAST, ago)
            if first < opened:
                continue
            self.book(account, in_month(first, 12), "PRIJEM", "PREVOD Z UCTU", income, None)
            if household:
                self.book(account, in_month(first, 14), "VYDAJ", "PREVOD NA UCET", household, "SIPO")
            for _ in range(chance.randrange(0, 5)):
                day = in_month(first, chance.randrange(1, 29))
                self.book(account, day, "VYDAJ", "VYBER KARTOU", chance.lognormvariate(6.6, 0.7), None)
            if loan:
                self.instalment(account, loan, first, careful)
            if account["balance"] > income / 2:
                spent = (account["balance"] - income / 4) * chance.uniform(0.5, 1.0)
                self.book(account, in_month(first, 28), "VYDAJ", "VYBER", spent, None)

    def loan(self, account, number, opened, income):
        chance = self.chance
        granted = max(opened + timedelta(days=30), months_before(LAST, chance.randrange(3, MONTHS)) + timedelta(days=9))
        duration = chance.choice([12, 24, 36, 48])
        payment = round(income * chance.uniform(0.08, 0.3), 0)
        loan = {
            "loan_id": 5_000 + number,
            "account_id": account["account_id"],
            "date": yymmdd(granted),
            "amount": crowns(payment * duration),
            "duration": duration,
            "payments": crowns(payment),
            "status": "C",
        }
        self.rows["loan"].append(loan)
        return loan | {"granted": granted}

    def instalment(self, account, loan, first, careful):
        due = in_month(first, loan["granted"].day)
        if due <= loan["granted"]:
            return
        draw = self.chance.random()
        if draw > 0.90 + 0.1 * careful:
            return   # never paid
        late = 0 if draw < 0.55 + 0.4 * careful else self.chance.randrange(3, 45)
        if due + timedelta(days=late) <= LAST:
            self.book(account, due + timedelta(days=late), "VYDAJ", "PREVOD NA UCET", float(loan["payments"]), "UVER")


SHAPES = {
    "client": {"client_id": pa.int64(), "district_id": pa.int64()},
    "account": {"account_id": pa.int64(), "frequency": pa.string(), "date": pa.int64()},
    "disp": {"disp_id": pa.int64(), "client_id": pa.int64(), "account_id": pa.int64(), "type": pa.string()},
    "loan": {
        "loan_id": pa.int64(), "account_id": pa.int64(), "date": pa.int64(), "amount": MONEY, "duration": pa.int64(),
        "payments": MONEY, "status": pa.string(),
    },
    "trans": {
        "trans_id": pa.int64(), "account_id": pa.int64(), "date": pa.int64(), "type": pa.string(),
        "operation": pa.string(), "amount": MONEY, "balance": MONEY, "k_symbol": pa.string(),
    },
}


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    bank = Bank(seed=7)
    for number in range(1, CLIENTS + 1):
        bank.client(number)
    for name, shape in SHAPES.items():
        rows = sorted(bank.rows[name], key=lambda row: (row.get("date", 0), next(iter(row.values()))))
        table = pa.table({column: pa.array([row[column] for row in rows], kind) for column, kind in shape.items()})
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd")


if __name__ == "__main__":
    main()
