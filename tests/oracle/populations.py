"""Random populations that sit on boundaries: as-of dates at month ends, instants a microsecond around the cut-offs, local
midnight and changes of the clocks (populations_clock.py), days around the windows' first, values on bin edges, versions
that tie, links given twice.

    python tests/oracle/populations.py FOLDER --seed 7

writes a pipeline file, its exports and, for some seeds, a model and catalogue of their own. The same seed writes the same.
"""

import argparse
import random
import shutil
from decimal import Decimal
from math import inf, nan
from pathlib import Path

from exports import ROOT, Contract
from parquet_files import Layout, write_table
from populations_clock import random_clock
from populations_model import write_model
from times import MICROSECOND, NANOSECONDS_OF_DAY, date_of

CURRENCIES = {"CNY": 1.0, "USD": 0.14, "EUR": 0.13, "JPY": 0.2, "TWD": 4.0, "HKD": 1.1}
LATE = [0, 0, 0, 1, 2, 3, 4, 29, 30, 31, 59, 60, 89, 90, 91, 400]
PERCENT = [0, 2, 3, 5, 10, 20, 25, 30, 35, 50, 60, 75, 90, 95, 100]
LIMITS = [500_000, 1_500_000, 3_000_000, 6_000_000, 10_000_000]
MOST = 10**13
SMALL_TABLES = ["consents", "public_records", "disputes", "sources", "friend_links"]
RELIABILITIES = [0.0, 0.001, 0.5, 0.95, 0.9495, 0.9505, 0.0005, 1.0]
RATINGS = [0.0, 0.0005, 0.0015, 0.0025, 0.6995, 0.7, 0.82, 0.8995, 0.9, 0.9005, 0.96, 0.9995, 1.0]


def write_case(folder, seed):
    """Writes the case; returns its as-of date, knowledge cut-off and model (or None) as the command line takes them."""
    chance = random.Random(seed)
    shutil.rmtree(folder, ignore_errors=True)
    clock, as_of, known_by = random_clock(chance)
    population = Population(chance, clock)
    inputs = population.write(folder)
    zone = None if clock.zone.name == "UTC" and chance.random() < 0.7 else clock.zone.name
    (folder / "pipeline.toml").write_text(pipeline_text(inputs, population.currency, zone))
    return as_of, known_by, write_model(chance, folder)


def pipeline_text(inputs, currency, zone):
    """A pipeline file over these inputs, in UTC without a zone; its empty section `[gates]` lets everything pass."""
    lines = [
        'name = "oracle"',
        f'model = "{ROOT / "pipelines/models/standard.toml"}"',
        'as_of = "2025-01-31"',
        f'currency = "{currency}"',
        'output = "out"',
    ]
    if zone is not None:
        lines.append(f'time_zone = "{zone}"')
    if "consents" not in inputs:
        lines.append('consent_statement = "everyone here agreed"')
    lines += ["[inputs]", *(f'{name} = "{place}"' for name, place in inputs.items())]
    return "\n".join([*lines, "[gates]", ""])


class Population:
    """Rows of every table, by table, as dictionaries."""

    def __init__(self, chance, clock):
        self.random, self.clock = chance, clock
        self.currency = chance.choice(["CNY", "CNY", *CURRENCIES])
        self.subject_ids = _ids(chance, chance.randrange(30, 81))
        self.record_kind = chance.randrange(3)
        self.source_ids = ["bank", "shop", "mail", "none", "vague"]
        self.errors = chance.choice([0.0, 0.02, 0.05])
        self.rows = {"subjects": [], "repayments": [], "utility_payments": [], "purchases": [], "sales": []}
        self.rows |= {"public_records": [], "friend_links": [], "consents": [], "disputes": [], "sources": []}

    def write(self, folder):
        """Writes every table as Parquet; returns the inputs of the pipeline file."""
        self.make()
        contract, inputs = Contract.load(), {}
        samples = dict.fromkeys(["subject_id", "subject_a", "subject_b"], self.subject_ids[0])
        samples |= dict.fromkeys(["record_id", "refund_of"], self.record_id(0))
        dropped = {name for name in self.rows if name != "subjects" and self.random.random() < 0.05}
        for name, rows in self.rows.items():
            if name not in dropped:
                layout = Layout(self.random, name in SMALL_TABLES or name == "subjects", samples)
                inputs[name] = write_table(contract.tables[name], rows, Path(folder) / "inputs", layout)
        return inputs

    def make(self):
        for identity in self.subject_ids:
            self.subject(identity)
        for number, name in enumerate(self.source_ids[:-1]):
            reliability = RELIABILITIES[number] if self.random.random() < 0.7 else self.random.choice(RELIABILITIES)
            self.rows["sources"].append({"source_id": name, "kind": "any", "reliability": reliability})
        self.links()
        self.disputes()
        for rows in self.rows.values():
            self.random.shuffle(rows)

    # ------------------------------------------------------------ what all tables share

    def source(self):
        return self.random.choice([None, *self.source_ids])

    def record_id(self, number):
        """A record's id: an integer, text or eight bytes, the same kind throughout a case."""
        return [number, f"r{number:05}", number.to_bytes(8, "big")][self.record_kind]

    def add(self, table, row, event, otherwise):
        """A record with its repetitions and versions; `otherwise` makes another content of it."""
        row |= {"known_at": self.clock.known(event), "source_id": self.source()}
        self.rows[table].append(self.broken(table, row))
        kind = self.random.random()
        if kind < 0.04:
            self.rows[table].append(dict(row))
        elif kind < 0.08:
            self.rows[table].append(row | {"source_id": self.source()})
        elif kind < 0.11:
            self.rows[table].append(row | {"known_at": event if row["known_at"] is None else None})
        elif kind < 0.16:
            later = event if row["known_at"] is None else row["known_at"]
            later += self.random.choice([1, MICROSECOND, 10**9, NANOSECONDS_OF_DAY, -NANOSECONDS_OF_DAY])
            self.rows[table].append(row | {"known_at": later, "source_id": self.source()} | otherwise())
            if self.random.random() < 0.4:
                self.rows[table].append(row | {"known_at": later, "source_id": self.source()})
        elif kind < 0.17:
            self.rows[table].append(row | otherwise())

    def broken(self, table, row):
        """The row, seldom with one of the errors that the contract names."""
        if self.random.random() >= self.errors:
            return row
        errors = [{"subject_id": None}, {"known_at": self.clock.implausible()}]
        if "currency" in row:
            errors += [{"currency": None}, {"currency": "XXX"}, {"currency": self.currency.lower()}]
        for name in ("amount_minor", "amount_due_minor", "amount_paid_minor", "limit_minor", "turnover_minor"):
            if name in row:
                errors += [{name: value} for value in (-1, MOST, MOST + 1, Decimal("1.50"))]
        if "opened_on" in row:
            errors += [
                {"opened_on": row["due_on"] + 1},
                {"opened_on": None},
                {"due_on": None},
                {"balance_minor": -MOST - 1},
            ]
            errors += [
                {"product": "pawn"},
                {"days_past_due": 100_001},
                {"days_past_due": -1},
                {"due_on": -25_568},
                {"opened_on": -25_567},
            ]
        if "service" in row:
            errors += [{"account_id": "someone@example.org"}, {"service": "Water"}]
        if "status_on" in row:
            errors += [{"status_on": row["listed_on"] - 1}, {"match": "maybe"}, {"match": None}]
        if "occurred_at" in row:
            errors += [{"amount_minor": 0}, {"status": "Settled"}, {"status": None}, {"occurred_at": None}]
            errors += [{"occurred_at": self.clock.implausible()}, {"occurred_at": self.clock.implausible()}]
        if "rating" in row:
            errors += [{"rating": value} for value in (-0.0001, -0.0, 1.0001, 1.0006, nan, inf)]
            errors += [{"channel": "shop"}, {"orders": None}, {"orders": 10**9}, {"orders": 10**9 + 1}, {"ended_on": None}, {"complaints": -1}]
        return row | self.random.choice(errors)

    # ------------------------------------------------------------ a subject and its records

    def subject(self, identity):
        """One subject: versions, consents and records. Businesses, dead, closed and mere strangers among them."""
        chance, start = self.random, self.clock.old_day()
        row = {"subject_id": identity, "kind": chance.choice(["consumer"] * 3 + ["small_business"])}
        row["registered_on"] = chance.choice([start, start, start, None])
        row |= self.profile()
        event = self.clock.first(start)
        row |= {"known_at": chance.choice([None, event, event]), "source_id": self.source()}
        if chance.random() < 0.03:
            row |= chance.choice(
                [{"identity_level": 5}, {"registered_on": self.clock.end}, {"known_at": self.clock.edge()}]
            )
        self.rows["subjects"].append(row)
        if chance.random() < 0.1:
            self.rows["subjects"].append(row | {"source_id": self.source()})
        if chance.random() < 0.2:
            known = chance.choice([self.clock.edge(), self.clock.last(start) + chance.choice([1, MICROSECOND, 10**15])])
            self.rows["subjects"].append(row | self.profile() | {"known_at": known})
        self.consents(identity)
        richness = chance.choice([0.1, 1, 1, 1, 1.5])
        for number in range(int(chance.randrange(0, 13) * richness)):
            self.repayment(identity, number)
        for number in range(int(chance.randrange(0, 10) * richness)):
            self.utility_payment(identity, 100 + number)
        for number in range(int(chance.randrange(0, 15) * richness)):
            self.purchase(identity, 200 + 3 * number)
        sells = 1 if row["kind"] == "small_business" else chance.choice([0, 0, 0.3])
        for number in range(int(chance.randrange(0, 16) * sells)):
            self.sale(identity, 500 + number)
        if chance.random() < 0.25:
            self.public_record(identity, 400)

    def profile(self):
        """What is known of a subject itself, on the edges of the bins."""
        chance, fields = self.random, self.random.choice([None, 0, 4, 10, 20])
        row = {"identity_level": chance.choice([None, 0, 1, 2, 3, 4]), "profile_fields": fields}
        row["verified_fields"] = chance.choice([None, 0, 3, 6, 9, 17, 30])
        row["conflicting_fields"] = chance.choice([None, 0, 0, 0, 1, 2, 5])
        for name in ("phone_since", "address_since", "employment_since", "last_verified_on"):
            row[name] = chance.choice([None, self.clock.old_day(), self.clock.old_day(), self.clock.day()])
        row["contact_changes_12m"] = chance.choice([None, 0, 0, 1, 2, 3, 4])
        row["monthly_income_minor"] = chance.choice([None, 0, 1_000, 10_000, MOST])
        row["avg_balance_90d_minor"] = chance.choice([None, -500, 0, 10, 30, 100, 1_000, 30_000, MOST])
        row["min_balance_90d_minor"] = chance.choice([None, -MOST, -1, 0, 1, 10, 100, 1_000])
        row["deceased"] = chance.choice([None, False] * 15 + [True])
        row["closed_on"] = chance.choice([None] * 25 + [self.clock.as_of, self.clock.end])
        return row

    def repayment(self, identity, number):
        """An instalment or statement; of four accounts."""
        chance, account = self.random, self.random.randrange(4)
        due = self.clock.day()
        amount = chance.choice([0, 1, 100, 100, 1_000, 2_000])
        row = {"record_id": self.record_id(number), "subject_id": identity, "account_id": account, "due_on": due}
        row["product"] = ["instalment", "revolving", "line", chance.choice(["mortgage", "other", "revolving"])][account]
        row["opened_on"] = chance.choice([None, due, due - chance.randrange(0, 2500), self.clock.end])
        row |= {"amount_due_minor": amount, "currency": self.currency} | self.payment(due, amount)
        row["days_past_due"] = chance.choice([None] * 6 + LATE)
        row["limit_minor"] = chance.choice([None, 0, 100, 1_000, self.limit()])
        row["balance_minor"] = chance.choice([None, -50, 0, (row["limit_minor"] or 0) * chance.choice(PERCENT) // 100])
        row["status"] = chance.choice([None, "open", "done"])
        self.add("repayments", row, self.clock.last(due), lambda: self.payment(due, amount))

    def limit(self):
        """A limit whose sum may sit on an edge of the money bins, in the case's currency."""
        return round(self.random.choice(LIMITS) * CURRENCIES[self.currency]) + self.random.choice([-1, 0, 0, 1])

    def payment(self, due, amount):
        """What was paid of a bill and when; around the cut-offs too."""
        chance = self.random
        paid = chance.choice(
            [None, due + chance.choice(LATE), due + chance.choice(LATE), due - 1, self.clock.as_of, self.clock.end]
        )
        if chance.random() < 0.05:
            paid = self.clock.zone.day_of(self.clock.known_by) + chance.choice([-1, 0])
        part = chance.choice([0, 100, 100, 100, 110, *PERCENT])
        return {
            "paid_on": paid,
            "amount_paid_minor": 0 if paid is None and chance.random() < 0.7 else amount * part // 100,
        }

    def utility_payment(self, identity, number):
        chance, due = self.random, self.clock.day()
        amount = chance.choice([0, 100, 100, 200, 300, 50])
        row = {"record_id": self.record_id(number), "subject_id": identity, "account_id": "meter", "due_on": due}
        row |= {
            "service": chance.choice(["water", "rent", "other"]),
            "amount_due_minor": amount,
            "currency": self.currency,
        }
        row |= {"autopay": chance.choice([None, True, False])} | self.payment(due, amount)
        self.add("utility_payments", row, self.clock.last(due), lambda: self.payment(due, amount))

    def purchase(self, identity, number):
        """An order, for some with one or two refunds: less than it, equal to it, or more."""
        chance, at = self.random, self.clock.instant()
        amount = chance.choice([1, 100, 100, 200, 300, 1_000])
        statuses = ["settled"] * 8 + ["declined", "refunded", "chargeback_won", "chargeback_lost"]
        statuses += ["cancelled_by_buyer", "cancelled_by_seller"]
        row = {"record_id": self.record_id(number), "subject_id": identity, "occurred_at": at, "amount_minor": amount}
        row |= {"currency": self.currency, "merchant_id": chance.choice([None, 1, 1, 2, 3]), "refund_of": None}
        row |= {
            "category_code": chance.choice([None, "a", "a", "b", "c", "d", "e", "f"]),
            "status": chance.choice(statuses),
        }
        self.add("purchases", row, at, lambda: {"status": chance.choice(statuses), "amount_minor": amount + 1})
        if chance.random() < 0.15:
            parts = chance.choice([[amount], [amount + 1], [amount, 1], [max(amount // 2, 1)] * 2, [amount + 1, 1]])
            for step, part in enumerate(parts, 1):
                refund = {
                    "record_id": self.record_id(number + step),
                    "refund_of": row["record_id"],
                    "amount_minor": part,
                }
                then = at + chance.choice([0, 1, NANOSECONDS_OF_DAY, 10 * NANOSECONDS_OF_DAY])
                self.add("purchases", row | refund | {"occurred_at": then}, then, lambda: {"amount_minor": 1})

    def sale(self, identity, number):
        """What a month and channel sold: often that of the month's last day, with shares on, between and around thousandths."""
        chance, ended = self.random, self.clock.day()
        if chance.random() < 0.6:
            ended -= date_of(ended).day
        row = {"record_id": self.record_id(number), "subject_id": identity, "ended_on": ended}
        row |= {"channel": chance.choice(["own_shop", "marketplace", "store", "wholesale", "other"])}
        row |= {"currency": self.currency} | self.sold()
        near = row["rating"] and {"rating": min(row["rating"] + 0.0002, 1.0)}
        self.add("sales", row, self.clock.last(ended), lambda: chance.choice([self.sold(), near or {}]))

    def sold(self):
        """Orders, turnover, returns, complaints and rating, on the edges of the bins."""
        chance, orders = self.random, self.random.choice([0, 1, 10, 100, 100, 100, 1_000, 10**6])
        row = {"orders": orders, "turnover_minor": chance.choice([0, 1, 100, 100, 200, 300, 1_000, MOST])}
        row["returned_orders"] = chance.choice([None, 0, orders, orders + 1, *(orders * part // 100 for part in (3, 8, 15))])
        row["complaints"] = chance.choice([None, 0, *(orders * part // 1_000 for part in (2, 10, 30))])
        row["rating"] = chance.choice([None, *RATINGS, chance.random(), chance.randrange(1000) / 1000 + 0.0005])
        return row

    def public_record(self, identity, number):
        chance, listed = self.random, self.clock.day()
        states = ["active", "active", "satisfied", "removed", "appealed"]

        def state():
            return {
                "status": chance.choice(states),
                "status_on": chance.choice([None, listed, listed + 30, self.clock.as_of, self.clock.end]),
            }

        row = {"record_id": self.record_id(number), "subject_id": identity, "listed_on": listed}
        row |= {"kind": chance.choice(["court_defaulter", "court_defaulter", "insolvency", "judgment", "tax"])}
        row |= {"match": chance.choice(["exact", "exact", "probable"]), "amount_minor": chance.choice([None, 0, 5_000])}
        self.add("public_records", row | state(), self.clock.last(listed), state)

    # ------------------------------------------------------------ consents, links, disputes

    def consents(self, identity):
        """Grants for both purposes: most in force, some granted, revoked or expired around a cut-off."""
        chance, clock = self.random, self.clock
        for purpose in ("score", "network"):
            if chance.random() < 0.04:
                continue
            granted = clock.first(clock.as_of - chance.randrange(1, 2000))
            row = {"subject_id": identity, "purpose": purpose, "partner_id": None, "granted_at": granted}
            row |= {"revoked_at": None, "expires_at": None}
            rows = [row]
            kind = chance.random()
            if kind < 0.03:
                rows = [row | {"granted_at": clock.edge()}]
            elif kind < 0.08:
                rows = [row | {"revoked_at": max(clock.edge(), granted)}]
            elif kind < 0.12:
                rows = [row | {"expires_at": max(chance.choice([clock.edge(), clock.edge(), clock.implausible()]), granted)}]
            elif kind < 0.14:
                rows = [row, row | {"revoked_at": granted + 1_000_000_000}]
            elif kind < 0.16:
                again = granted + chance.choice([0, 10**9, 2 * 10**9])
                rows = [row | {"revoked_at": granted + 10**9}, row | {"granted_at": again}]
            elif kind < 0.17:
                rows = [row | {"revoked_at": granted - 10**9}]
            elif kind < 0.18:
                rows = [
                    row
                    | {
                        "subject_id": "nobody" if isinstance(identity, str) else identity,
                        "purpose": "release",
                        "partner_id": "p",
                    }
                ]
            self.rows["consents"] += rows

    def links(self):
        """Ties: about seven a subject, old enough or just not, given once, twice or in both directions, some ended."""
        chance, _clock = self.random, self.clock
        for _ in range(len(self.subject_ids) * chance.choice([3, 4, 8])):
            row = self.link(*chance.choices(self.subject_ids, k=2))
            self.rows["friend_links"].append(row)
            if chance.random() < 0.2:
                other = self.link(row["subject_a"], row["subject_b"])
                if chance.random() < 0.5:
                    other |= {"subject_a": row["subject_b"], "subject_b": row["subject_a"]}
                self.rows["friend_links"].append(other)

    def link(self, first, second):
        """One row of a tie."""
        chance, clock = self.random, self.clock
        since = clock.as_of - chance.choice(
            [89, 90, 91, 0, 180, 181, 545, 1096, chance.randrange(0, 2000), chance.randrange(91, 900)]
        )
        row = {"subject_a": first, "subject_b": second, "since": since, "source_id": None}
        row["until"] = chance.choice([None] * 12 + [since, clock.as_of, clock.end])
        row["interactions_90d"] = chance.choice([None, None, 0, 1, 2, 5, 19, 20, 21, 1_000])
        return row | {"known_at": clock.known(clock.last(since)) if chance.random() < 0.5 else None}

    def disputes(self):
        """Disputes of any state over records of any table, with and without the subject."""
        chance, clock = self.random, self.clock
        tables = ["repayments", "utility_payments", "purchases", "sales", "public_records"]
        for number in range(chance.randrange(0, 25)):
            table = chance.choice(tables)
            if not self.rows[table]:
                continue
            record = chance.choice(self.rows[table])
            opened = chance.choice([clock.edge(), clock.first(clock.as_of - chance.randrange(0, 300))])
            row = {"dispute_id": number, "table": table, "record_id": record["record_id"], "opened_at": opened}
            row["subject_id"] = record["subject_id"] if chance.random() < 0.8 else None
            row["state"] = chance.choice(["open", "open", "upheld", "rejected", "withdrawn"])
            row["closed_at"] = chance.choice([None, max(opened, clock.edge()), opened + NANOSECONDS_OF_DAY])
            row["known_at"] = clock.known(opened)
            self.rows["disputes"].append(row)
            if chance.random() < 0.2:
                later = {"known_at": (row["known_at"] or opened) + chance.choice([0, 1, MICROSECOND, NANOSECONDS_OF_DAY])}
                self.rows["disputes"].append(row | later | {"state": chance.choice(["open", "rejected"])})


def _ids(chance, number):
    """Pseudonyms of one kind: text, integers or bytes of one length."""
    kind, values = chance.randrange(3), chance.sample(range(10**8), number)
    return [[value, f"{value:09x}s", value.to_bytes(16, "big")][kind] for value in values]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    as_of, known_by, model = write_case(arguments.folder, arguments.seed)
    print(f"--as-of {as_of}", *([f"--known-by {known_by}"] if known_by else []), *([f"--model {model}"] if model else []))


if __name__ == "__main__":
    main()
