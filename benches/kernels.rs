//! The hot paths of a run, each by itself: `cargo bench --bench kernels`.
//!
//! Sizes: 1 M ids of twenty hexadecimal digits looked up 262,144 times in random order; 65,536 values packed and
//! unpacked; 65,536 bills without a fault checked, of which one in three is not paid; 32,768 rows of 640 subjects added up.
//! All random numbers from fixed seeds, uniformly distributed.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench is no public interface and may stop")]

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use fastrand::Rng;
use sesame::NULL;
use sesame::contract::{ColumnType, Contract, DAY_MICROS, Zone, parse_day};
use sesame::features::kernel::{Evaluated, Kernel};
use sesame::features::plan::{Accumulator, Grouping, Sum, TablePlan};
use sesame::ingest::check::checks::Checks;
use sesame::ingest::rows::pack::{Unpacker, pack};
use sesame::ingest::spine::Spine;
use sesame::synth::person::World;
use sesame::tables::ids::{IdForm, Ids};

fn main() {
    divan::main();
}

#[divan::bench]
fn look_up_ids(bencher: Bencher) {
    let world = World { subjects: 1_000_000, seed: 1 };
    let mut ids = Ids::default();
    (0..1_000_000).for_each(|n| ids.push(world.pseudonym(n).as_bytes()));
    let spine = Spine::build(&ids, IdForm::Text).unwrap();
    let mut rng = Rng::with_seed(1);
    let wanted: Vec<String> = (0..262_144).map(|_| world.pseudonym(rng.u64(0..1_000_000))).collect();
    let mut found = Vec::with_capacity(wanted.len());
    bencher.counter(ItemsCount::new(wanted.len())).bench_local(|| {
        found.clear();
        spine.find_all(wanted.iter().map(|i| Some(i.as_bytes())), &mut found);
        black_box(found.len())
    });
}

#[divan::bench]
fn check_bills(bencher: Bencher) {
    let contract = Contract::load().unwrap();
    let calendar = contract.calendar(parse_day("2025-10-31").unwrap(), &Zone::default()).unwrap();
    let table = contract.table("repayments").unwrap();
    let checks = Checks::new(table, &contract.limits).unwrap();
    let (mut rng, rows) = (Rng::with_seed(4), 65_536);
    let column = |(name, kind): (&str, ColumnType)| -> Vec<i64> {
        let value = |rng: &mut Rng| match kind {
            ColumnType::Date if name == "paid_on" && rng.u8(0..3) == 0 => NULL,
            ColumnType::Date => rng.i64(0..700) + if name == "opened_on" { 18_000 } else { 19_500 },
            ColumnType::Instant => rng.i64(19_500 * DAY_MICROS..20_300 * DAY_MICROS),
            ColumnType::Id => rng.i64(NULL + 1..i64::MAX),
            ColumnType::Money | ColumnType::Count => rng.i64(0..60_000),
            _ => rng.i64(0..2),
        };
        (0..rows).map(|_| value(&mut rng)).collect()
    };
    let columns: Vec<Vec<i64>> = table.columns.iter().map(|c| (c.name.as_str(), c.kind)).map(column).collect();
    bencher.counter(ItemsCount::new(rows)).bench_local(|| {
        let mut faults = Vec::new();
        checks.faults(black_box(&columns), rows, &calendar, &mut faults);
        assert!(faults.is_empty());
    });
}

/// Amounts of at most so many minor units.
#[divan::bench(args = [200_i64, 60_000, 10_000_000])]
fn pack_and_unpack(bencher: Bencher, largest: i64) {
    let mut rng = Rng::with_seed(2);
    let values: Vec<i64> = (0..65_536).map(|_| rng.i64(0..largest)).collect();
    let mut out = vec![0_i64; values.len()];
    let mut bytes = Vec::new();
    bencher.counter(ItemsCount::new(values.len())).bench_local(|| {
        bytes.clear();
        pack(black_box(&values), &mut bytes);
        Unpacker::new(&bytes, out.len()).column(|row, v| out[row] = v).unwrap();
        black_box(out[0])
    });
}

/// A count, a sum, a largest value; and deviations by month and distinct ids.
#[divan::bench(args = ["plain", "by_month", "by_id"])]
fn add_up(bencher: Bencher, what: &str) {
    let mut rng = Rng::with_seed(3);
    let rows = 32_768;
    let ranges: Vec<_> = (0..640).map(|s| s * rows / 640..(s + 1) * rows / 640).collect();
    let filter: Vec<u8> = (0..rows).map(|_| rng.u8(0..2)).collect();
    let amounts: Vec<i64> = (0..rows).map(|_| rng.i64(0..1_000_000)).collect();
    let (predicates, values) = ([filter.as_slice()], [amounts.as_slice()]);
    let months: Vec<i64> = (0..rows).map(|_| rng.i64(0..24)).collect();
    let ids: Vec<i64> = (0..rows).map(|_| rng.i64(i64::MIN + 1..i64::MAX) / 3).collect();
    let sums = match what {
        "plain" => {
            vec![Sum::Rows { filter: 0 }, Sum::Values { filter: 0, value: 0 }, Sum::Largest { filter: 0, value: 0 }]
        }
        "by_month" => vec![Sum::Deviations { grouping: 0, value: Some(0), periods: None }],
        _ => vec![Sum::Groups { grouping: 0 }],
    };
    let plan = TablePlan {
        table: "purchases".into(),
        predicates: Vec::new(),
        values: Vec::new(),
        weights: Vec::new(),
        groupings: vec![Grouping { key: String::new(), filter: 0 }],
        accumulators: sums.into_iter().map(|sum| Accumulator { name: String::new(), sum }).collect(),
        first_day: None,
    };
    let keys: [&[i64]; 1] = [if what == "by_month" { &months } else { &ids }];
    let evaluated = Evaluated { predicates: &predicates, values: &values, weights: &[], keys: &keys };
    let mut out = vec![vec![0_i64; ranges.len()]; plan.accumulators.len()];
    let mut kernel = Kernel::default();
    let exact = vec![false; plan.accumulators.len()];
    bencher.counter(ItemsCount::new(rows)).bench_local(|| {
        let mut slices: Vec<&mut [i64]> = out.iter_mut().map(Vec::as_mut_slice).collect();
        kernel.add(&plan, black_box(&evaluated), &ranges, &exact, &mut slices);
    });
}
