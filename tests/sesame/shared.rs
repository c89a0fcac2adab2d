//! Dates that share the rows of a bucket add up what each of them would alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;
use sesame::NULL;
use sesame::contract::{Calendar, Contract, Snapshot, Zone, day_text, parse_day, table_scope};
use sesame::engine::Program;
use sesame::expression::{Expression, Numbers};
use sesame::features::Plan;
use sesame::features::compute::{Computer, Sums};
use sesame::features::plan::{Accumulator, Grouping, Recency, Sum, TablePlan};
use sesame::features::shared::{SharedTable, Wanted};
use sesame::ingest::check::checks::Checks;
use sesame::ingest::rows::cleaner::Cleaner;
use sesame::ingest::rows::layout::{FIRST, Layout, ROW};
use sesame::ingest::rows::store::BucketRows;
use sesame::ingest::settle::resolve::Counting;

/// 2024-01-01.
const FROM: i64 = 19_723;
const SUBJECTS: usize = 4;
/// The last days of the months of 2024; days count from [`FROM`].
const MONTH_ENDS: [i64; 12] = [30, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];

/// The subjects that a date sees.
fn seen(date: usize) -> Vec<usize> {
    (0..SUBJECTS).filter(|subject| (subject + date) % 5 != 4).collect()
}

/// A repayment; days count from [`FROM`].
#[derive(Debug, Clone)]
struct Row {
    subject: usize,
    due: i64,
    paid: Option<i64>,
    opened: Option<i64>,
    amounts: (i64, i64),
    late: Option<i64>,
    product: i64,
    account: i64,
    balance: Option<i64>,
    limit: Option<i64>,
    /// By date, whether it counts and whether it is contested.
    counts: u32,
    contested: u32,
}

/// The dates at which a row counts, for the most part all that see it.
fn marks() -> impl Strategy<Value = u32> {
    prop_oneof![2 => Just(u32::MAX), 1 => any::<u32>()]
}

fn row() -> impl Strategy<Value = Row> {
    let some = |most: i64| proptest::option::of(0..most);
    let times = (0..SUBJECTS, 0_i64..420, some(480), some(420));
    let figures = (0_i64..80, 0_i64..80, some(60), some(90), some(3));
    (times, figures, 0_i64..5, 0_i64..3, marks(), any::<u32>()).prop_map(
        |((subject, due, paid, opened), (owed, gave, late, balance, limit), product, account, counts, contested)| Row {
            subject,
            due,
            paid,
            opened,
            amounts: (owed, gave),
            late,
            product,
            account,
            balance,
            limit,
            counts,
            contested: contested & (contested >> 3) & (contested << 5),
        },
    )
}

/// Rows as they are stored, by subject.
fn stored(rows: &[Row], layout: &Layout) -> BucketRows {
    let mut columns: Vec<Arc<Vec<i64>>> = (0..layout.width).map(|_| Arc::default()).collect();
    let mut put = |at: usize, of: &dyn Fn(&Row) -> Option<i64>| {
        let values: Vec<i64> = rows.iter().map(|row| of(row).unwrap_or(NULL)).collect();
        // A column that is null throughout is not kept.
        columns[at] = Arc::new(if values.iter().all(|value| *value == NULL) { Vec::new() } else { values });
    };
    let at = |name: &str| layout.table.position(name).unwrap() + FIRST;
    put(ROW, &|_| Some(7));
    put(at("due_on"), &|row| Some(FROM + row.due));
    put(at("paid_on"), &|row| row.paid.map(|day| FROM + day));
    put(at("opened_on"), &|row| row.opened.map(|day| FROM + day));
    put(at("amount_due_minor"), &|row| Some(row.amounts.0));
    put(at("amount_paid_minor"), &|row| Some(row.amounts.1));
    put(at("days_past_due"), &|row| row.late);
    put(at("product"), &|row| Some(row.product));
    put(at("account_id"), &|row| Some(row.account));
    put(at("balance_minor"), &|row| row.balance);
    put(at("limit_minor"), &|row| row.limit);
    let starts = (0..=SUBJECTS).map(|s| rows.iter().filter(|row| row.subject < s).count() as u32).collect();
    BucketRows { starts, files: vec![0; rows.len()], columns, ..BucketRows::default() }
}

/// Sums of every kind over conditions of every kind.
fn plan(contract: &Contract, calendar: &Calendar) -> TablePlan {
    plan_of_repayments(contract, calendar, None)
}

/// The same with a value that polars computes, and with it all the others of the table.
fn plan_of_polars(contract: &Contract, calendar: &Calendar) -> TablePlan {
    plan_of_repayments(contract, calendar, Some("CASE WHEN NULL IS NULL THEN amount_due_minor ELSE 7 END"))
}

fn plan_of_repayments(contract: &Contract, calendar: &Calendar, more: Option<&str>) -> TablePlan {
    let scope = table_scope(contract.table("repayments").unwrap(), &contract.limits, calendar);
    let condition = |text: &str| Expression::predicate(text, &scope, Numbers::Integer).unwrap();
    let number = |text: &str| Expression::number(text, &scope, Numbers::Integer).unwrap();
    let window = condition("due_months_ago < 12");
    let predicates = vec![
        window.clone(),
        window.and(&condition("amount_due_minor > 0")),
        condition("due_months_ago < 2").and(&condition("days_past_due >= 30")),
        condition(
            "due_months_ago < 1 OR (product <> 'revolving' AND paid_day IS NULL AND amount_paid_minor < amount_due_minor)",
        ),
        condition("due_day > as_of_day - 60"),
        condition(&format!("due_day > {}", calendar.as_of_day() - 90)).and(&condition("limit_minor IS NOT NULL")),
        condition("days_past_due > 0"),
        condition("amount_due_minor BETWEEN 10 AND 50").and(&condition("due_months_ago < 6")),
        window.and(&condition("balance_minor IS NOT NULL").and(&condition("limit_minor > 0 AND NOT product = 'line'"))),
    ];
    let values = [
        "amount_due_minor",
        "days_past_due",
        "due_months_ago",
        "CASE WHEN paid_day IS NULL AND due_day < as_of_day THEN GREATEST(amount_due_minor - amount_paid_minor, 0) ELSE 0 END",
        "LEAST(opened_months_ago, 120)",
        "3 * balance_minor",
        "amount_paid_minor",
    ];
    let values: Vec<Expression> = values.into_iter().chain(more).map(number).collect();
    let mut sums = Vec::new();
    for filter in 0..predicates.len() {
        sums.push(Sum::Rows { filter });
        for value in 0..values.len() {
            sums.extend([
                Sum::Values { filter, value },
                Sum::Smallest { filter, value },
                Sum::Largest { filter, value },
                Sum::WeightedValues { filter, value, weight: value % 2 },
            ]);
        }
        sums.extend([Sum::Weights { filter, weight: 0 }, Sum::Weights { filter, weight: 1 }]);
    }
    for grouping in 0..3 {
        sums.extend([
            Sum::Groups { grouping },
            Sum::ZeroGroups { grouping, value: 6 },
            Sum::Deviations { grouping, value: Some(0), periods: None },
            Sum::Deviations { grouping, value: None, periods: Some(12) },
            Sum::LargestGroup { grouping, value: Some(6) },
            Sum::Spans { grouping, value: 2 },
            Sum::Overlap { grouping, split: 3 },
        ]);
    }
    let grouping = |key: &str, filter: usize| Grouping { key: key.to_owned(), filter };
    TablePlan {
        table: "repayments".to_owned(),
        predicates,
        values,
        weights: vec![
            Recency { months_ago: String::new(), millionths: Vec::new() },
            Recency { months_ago: "due_months_ago".to_owned(), millionths: vec![1_000_000, 700_000, 300_000, 1] },
        ],
        groupings: vec![grouping("due_months_ago", 1), grouping("account_id", 0), grouping("limit_minor", 6)],
        accumulators: sums.into_iter().map(|sum| Accumulator { name: String::new(), sum }).collect(),
        first_day: None,
    }
}

/// A table of a bucket, and what several dates ask of it.
struct Bucket {
    table: &'static str,
    zone: Zone,
    rows: BucketRows,
    /// By row and date, whether it counts and whether it is contested.
    marks: Vec<(u32, u32)>,
    plan: fn(&Contract, &Calendar) -> TablePlan,
    /// A condition beside those of the plan and of what is adverse.
    other: &'static str,
}

impl Bucket {
    /// What a date sees of the rows, and which of them count.
    fn at(&self, date: usize, all: &BucketRows, snapshot: &Snapshot, checks: &Checks) -> (BucketRows, Counting) {
        let mut alive = vec![true; all.len()];
        checks.hidden(|at| &all.columns[at + FIRST], snapshot, |row| alive[row] = false);
        let mut then = all.clone();
        checks.turn_back(&mut then.columns[FIRST..], (all.len(), &|row| alive[row]), snapshot, &mut Vec::new());
        let mut counting = Counting { starts: vec![0], ..Counting::default() };
        for subject in seen(date) {
            for row in all.of(subject).filter(|row| alive[*row] && self.marks[*row].0 >> date & 1 == 1) {
                counting.rows.push(row);
                counting.disputed.push(self.marks[row].1 >> date & 1 == 1);
            }
            counting.starts.push(counting.rows.len() as u32);
        }
        if !counting.disputed.contains(&true) {
            counting.disputed.clear();
        }
        (then, counting)
    }

    /// Whether some sums could be added up for all dates; if not, these are not looked at.
    fn every_date_is_as_alone(&self, days: &[i64]) -> bool {
        let contract = Contract::load().unwrap();
        let table = contract.table(self.table).unwrap();
        let layout = Layout::new(table, &contract.limits, &self.zone).unwrap();
        let checks = Checks::new(table, &contract.limits).unwrap();
        let snapshot = |day: &i64| {
            let as_of = parse_day(&day_text(FROM + day)).unwrap();
            let calendar = contract.calendar(as_of, &self.zone).unwrap();
            Snapshot { known_by: Timestamp::from_microsecond(calendar.cutoff_micros()).unwrap(), calendar }
        };
        let snapshots: Vec<Snapshot> = days.iter().map(snapshot).collect();
        let mut all = self.rows.clone();
        let widest = Snapshot::widest(&snapshots).unwrap();
        checks.turn_back(&mut all.columns[FIRST..], (all.files.len(), &|_| true), &widest, &mut Vec::new());
        let plan_at = |snapshot: &Snapshot| Plan {
            tables: vec![(self.plan)(&contract, &snapshot.calendar)],
            features: Vec::new(),
            subject_columns: Vec::new(),
        };
        let plans: Vec<Plan> = snapshots.iter().map(plan_at).collect();
        let others = |snapshot: &Snapshot| {
            let scope = table_scope(table, &contract.limits, &snapshot.calendar);
            let texts = [table.adverse.as_deref().unwrap(), self.other];
            texts.map(|text| Expression::predicate(text, &scope, Numbers::Integer).unwrap())
        };
        let others: Vec<[Expression; 2]> = snapshots.iter().map(others).collect();
        let mut wanted = Vec::new();
        for ((plan, others), snapshot) in plans.iter().zip(&others).zip(&snapshots) {
            let calendar = &snapshot.calendar;
            wanted.push(Wanted { plan: plan.tables.first(), conditions: others.iter().collect(), calendar });
        }
        let shared = SharedTable::new(&layout, &wanted).unwrap();
        let with_days = shared.with_days(all.clone());
        let looked_at = shared.rows(&with_days).unwrap();
        let layouts = BTreeMap::from([(self.table.to_owned(), layout.clone())]);
        let (mut noted, mut found) = (looked_at.noted(), Vec::new());
        for (date, snapshot) in snapshots.iter().enumerate() {
            let (then, counting) = self.at(date, &with_days, snapshot, &checks);
            found.push(looked_at.at(date, (&then, &seen(date)), &counting, &mut noted).unwrap());
        }
        let mut sums: Vec<&mut Sums> = found.iter_mut().map(|at| &mut at.sums).collect();
        let together = looked_at.add_up(noted, &mut sums);
        for ((date, snapshot), found) in snapshots.iter().enumerate().zip(&found) {
            let (then, counting) = self.at(date, &all, snapshot, &checks);
            let (mut keep, mut starts) = (Vec::new(), vec![0]);
            for subject in 0..counting.subjects() {
                keep.extend(counting.of(subject).filter(|at| !counting.contested(*at)).map(|at| counting.rows[at]));
                starts.push(keep.len() as u32);
            }
            let computer = Computer::new(&plans[date], &layouts, &snapshot.calendar).unwrap();
            let alone = computer.sums(self.table, &then.pick(&keep, starts), counting.subjects()).unwrap();
            for (n, accumulator) in plans[date].tables[0].accumulators.iter().enumerate().filter(|_| together) {
                assert_eq!(found.sums[n], alone[n], "date {date}: {:?}", accumulator.sum);
            }
            for (n, condition) in others[date].iter().enumerate() {
                let cleaner = Cleaner::new(&layout, &snapshot.calendar, condition.columns.iter().cloned()).unwrap();
                let clean = cleaner.clean(&then, 0..then.len(), &snapshot.calendar).unwrap();
                let met = Program::conditions([condition.local.as_str()]).unwrap().run(&clean).unwrap();
                let met = met[0].conditions().unwrap();
                for row in &counting.rows {
                    assert_eq!(found.holds[n][*row], met[*row], "date {date}: {}, row {row}", condition.local);
                }
            }
        }
        together
    }
}

/// Whether some sums could be added up for all dates.
fn repayments_are_as_alone(mut rows: Vec<Row>, days: &[i64], plan: fn(&Contract, &Calendar) -> TablePlan) -> bool {
    rows.sort_by_key(|row| row.subject);
    let contract = Contract::load().unwrap();
    let layout = Layout::new(contract.table("repayments").unwrap(), &contract.limits, &Zone::utc()).unwrap();
    let bucket = Bucket {
        table: "repayments",
        zone: Zone::utc(),
        rows: stored(&rows, &layout),
        marks: rows.iter().map(|row| (row.counts, row.contested)).collect(),
        plan,
        other: "due_months_ago < 3 AND days_past_due > 5",
    };
    bucket.every_date_is_as_alone(days)
}

/// An order: subject, hours from [`FROM`], amount, status, seller, and the date at which it counts.
type Order = (usize, i64, i64, i64, Option<i64>, u32);

/// Orders by month, week, day and hour of a zone whose clocks change.
fn plan_of_orders(contract: &Contract, calendar: &Calendar) -> TablePlan {
    let scope = table_scope(contract.table("purchases").unwrap(), &contract.limits, calendar);
    let condition = |text: &str| Expression::predicate(text, &scope, Numbers::Integer).unwrap();
    let predicates = vec![
        condition("occurred_months_ago < 3").and(&condition("status = 'settled' AND refund_of IS NULL")),
        condition("occurred_weeks_ago < 9"),
        condition(&format!("occurred_day > {}", calendar.as_of_day() - 40)),
        condition("occurred_hour < 6 OR occurred_weekday >= 6"),
        condition("occurred_months_ago < 2").and(&condition("merchant_id IS NOT NULL")),
    ];
    let texts = ["amount_minor", "occurred_months_ago", "occurred_day", "occurred_hour"];
    let values: Vec<Expression> =
        texts.into_iter().map(|text| Expression::number(text, &scope, Numbers::Integer).unwrap()).collect();
    let mut sums = Vec::new();
    for filter in 0..predicates.len() {
        sums.extend([Sum::Rows { filter }, Sum::Weights { filter, weight: 0 }]);
        for value in 0..values.len() {
            sums.extend([Sum::Values { filter, value }, Sum::Smallest { filter, value }]);
        }
    }
    for grouping in 0..4 {
        sums.extend([Sum::Groups { grouping }, Sum::LargestGroup { grouping, value: Some(0) }]);
        sums.extend([Sum::Spans { grouping, value: 1 }, Sum::Overlap { grouping, split: 4 }]);
        sums.extend([
            Sum::ZeroGroups { grouping, value: 3 },
            Sum::Deviations { grouping, value: Some(0), periods: None },
            Sum::Deviations { grouping, value: None, periods: Some(9) },
        ]);
    }
    let grouping = |key: &str, filter: usize| Grouping { key: key.to_owned(), filter };
    TablePlan {
        table: "purchases".to_owned(),
        predicates,
        values,
        weights: vec![Recency { months_ago: "occurred_months_ago".to_owned(), millionths: vec![900_000, 50_000] }],
        groupings: vec![
            grouping("occurred_months_ago", 0),
            grouping("occurred_weeks_ago", 1),
            grouping("merchant_id", 4),
            grouping("occurred_weekday", 2),
        ],
        accumulators: sums.into_iter().map(|sum| Accumulator { name: String::new(), sum }).collect(),
        first_day: None,
    }
}

fn orders_are_as_alone(mut orders: Vec<Order>, days: &[i64]) -> bool {
    orders.sort_by_key(|order| order.0);
    let (contract, zone) = (Contract::load().unwrap(), Zone::named("Europe/Berlin").unwrap());
    let layout = Layout::new(contract.table("purchases").unwrap(), &contract.limits, &zone).unwrap();
    let mut columns: Vec<Arc<Vec<i64>>> = (0..layout.width).map(|_| Arc::default()).collect();
    let mut put = |name: &str, of: &dyn Fn(&Order) -> i64| {
        columns[layout.table.position(name).unwrap() + FIRST] = Arc::new(orders.iter().map(of).collect());
    };
    put("occurred_at", &|order| (FROM * 24 + order.1) * 3_600_000_000);
    put("amount_minor", &|order| order.2);
    put("status", &|order| order.3);
    put("merchant_id", &|order| order.4.unwrap_or(NULL));
    let starts = (0..=SUBJECTS).map(|s| orders.iter().filter(|order| order.0 < s).count() as u32).collect();
    let bucket = Bucket {
        table: "purchases",
        zone,
        rows: BucketRows { starts, files: vec![0; orders.len()], columns, ..BucketRows::default() },
        marks: orders.iter().map(|order| (order.5, 0)).collect(),
        plan: plan_of_orders,
        other: "amount_minor > 50 AND occurred_weeks_ago < 30",
    };
    bucket.every_date_is_as_alone(days)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn dates_that_share_rows_add_up_what_each_would_alone(
        rows in proptest::collection::vec(row(), 0..50),
        days in proptest::sample::subsequence((30_i64..420).collect::<Vec<_>>(), 2..6),
    ) {
        prop_assert!(repayments_are_as_alone(rows, &days, plan));
    }

    #[test]
    fn so_do_month_ends(
        rows in proptest::collection::vec(row(), 0..70),
        days in proptest::sample::subsequence(MONTH_ENDS.to_vec(), 2..13),
    ) {
        prop_assert!(repayments_are_as_alone(rows, &days, plan));
    }

    #[test]
    fn so_do_dates_whose_values_polars_computes(
        rows in proptest::collection::vec(row(), 0..50),
        days in proptest::sample::subsequence((30_i64..420).collect::<Vec<_>>(), 2..6),
    ) {
        prop_assert!(repayments_are_as_alone(rows, &days, plan_of_polars));
    }

    #[test]
    fn so_do_dates_of_a_zone_whose_clocks_change(
        some in orders(),
        days in proptest::sample::subsequence((30_i64..420).collect::<Vec<_>>(), 2..6),
        month_ends in proptest::sample::subsequence(MONTH_ENDS.to_vec(), 2..13),
    ) {
        prop_assert!(orders_are_as_alone(some.clone(), &days));
        prop_assert!(orders_are_as_alone(some, &month_ends));
    }
}

fn orders() -> impl Strategy<Value = Vec<Order>> {
    let order = (0..SUBJECTS, 0_i64..10_200, 1_i64..90, 0_i64..7, proptest::option::of(0_i64..4), marks());
    proptest::collection::vec(order, 0..60)
}

#[test]
fn more_dates_than_are_added_up_together_share_rows_all_the_same() {
    let row = |n: usize| Row {
        subject: n % SUBJECTS,
        due: 10 * n as i64,
        paid: Some(10 * n as i64 + 12).filter(|_| !n.is_multiple_of(3)),
        opened: Some(5),
        amounts: (40, 30),
        late: None,
        product: 1,
        account: 2,
        balance: Some(7),
        limit: None,
        counts: u32::MAX,
        contested: 0,
    };
    let days: Vec<i64> = (0..20).map(|n| 100 + 17 * n).collect();
    assert!(repayments_are_as_alone((0..40).map(row).collect(), &days, plan));
}

#[test]
fn sums_that_64_bits_may_not_hold_are_left_to_each_date() {
    let order = |amount: i64| vec![(0, 100, 5, 0, None, u32::MAX), (0, 200, amount, 0, Some(1), u32::MAX)];
    assert!(orders_are_as_alone(order(1_000_000), &MONTH_ENDS));
    assert!(!orders_are_as_alone(order(i64::MAX / 4), &MONTH_ENDS));
}

#[test]
fn month_ends_share_more_rows_than_fit_into_a_run() {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut some = |most: i64| (rng.u8(0..4) > 0).then(|| rng.i64(0..most));
    let mut row = |n: usize| Row {
        subject: n % SUBJECTS,
        due: some(420).unwrap_or(3),
        paid: some(480),
        opened: some(420),
        amounts: (some(80).unwrap_or(0), some(80).unwrap_or(0)),
        late: some(60),
        product: some(5).unwrap_or(1),
        account: some(1_000).unwrap_or(0),
        balance: some(90),
        limit: some(3),
        counts: u32::MAX,
        contested: u32::from(n.is_multiple_of(97)),
    };
    let mut rows: Vec<Row> = (0..60_000).map(&mut row).collect();
    assert!(repayments_are_as_alone(rows.clone(), &MONTH_ENDS, plan));
    // Of a subject with very many rows every date adds up its own.
    rows.extend((0..6_000).map(|n| row(SUBJECTS * n)));
    assert!(!repayments_are_as_alone(rows, &MONTH_ENDS, plan));
}
