//! Propagation by itself: `cargo bench --bench graph`.
//!
//! 2^18 subjects and 2^22 ties (8 M directed links), seed 1: `uniform` draws both ends uniformly, `power_law` by R-MAT
//! (0.57, 0.19, 0.19, 0.05) with subjects renumbered at random. `weigh` is one pass over all links, `build` makes the
//! graph from ties in memory; both count directed links.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench is no public interface and may stop")]

use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use fastrand::Rng;
use sesame::graph::Parameters;
use sesame::graph::csr::{Builder, Graph};
use sesame::ingest::links::tie_store::{TieStore, Ties, content};
use sesame::machine::budget::Budget;
use sesame::output::{LogFormat, Output};
use sesame::pipeline::Model;
use sesame::storage::scratch::Scratch;

const SCALE: u32 = 18;
const ROWS: usize = 1 << 22;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

static BUDGET: Budget = Budget::new(u64::MAX);
static STOP: AtomicBool = AtomicBool::new(false);
static PARAMETERS: LazyLock<Parameters> = LazyLock::new(parameters);

fn main() {
    divan::main();
}

fn pairs(shape: &str) -> Vec<(u32, u32, u64)> {
    let mut rng = Rng::with_seed(1);
    let mut names: Vec<u32> = (0..1 << SCALE).collect();
    rng.shuffle(&mut names);
    let mut one = || {
        if shape == "uniform" {
            return (rng.u32(0..1 << SCALE), rng.u32(0..1 << SCALE), rng.i64(0..30));
        }
        let (mut a, mut b) = (0_u32, 0_u32);
        for _ in 0..SCALE {
            let u = rng.f64();
            a = a << 1 | u32::from(u >= 0.76);
            b = b << 1 | u32::from((0.57..0.76).contains(&u) || u >= 0.95);
        }
        (names[a as usize], names[b as usize], rng.i64(0..30))
    };
    (0..ROWS).map(|_| one()).filter(|p| p.0 != p.1).map(|(a, b, i)| (a, b, content(Some(i), Some(12)))).collect()
}

fn ties(pairs: &[(u32, u32, u64)]) -> Ties<'static> {
    let store = TieStore::new(1 << SCALE, 1, &BUDGET, Path::new("/tmp")).unwrap();
    pairs.chunks(65_536).for_each(|some| store.add(0, some).unwrap());
    store.finish().unwrap()
}

fn parameters() -> Parameters {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/models/standard.toml");
    let model = Model::load(&path).unwrap();
    Parameters { max_ties: 1_000_000, ..Parameters::new(&model.card.propagation).unwrap() }
}

fn build(ties: Ties) -> Graph<'static> {
    let output = Output::new(true, LogFormat::Text);
    let scratch = Scratch::below(&std::env::temp_dir()).unwrap();
    let builder = Builder { parameters: &PARAMETERS, marks: None, budget: &BUDGET, scratch, stop: &STOP };
    builder.build(ties, &output.stage("build", 0, "ties")).unwrap()
}

#[divan::bench(args = ["uniform", "power_law"], sample_count = 10)]
fn weigh(bencher: Bencher, shape: &str) {
    let graph = build(ties(&pairs(shape)));
    let values = graph.hub_first(&graph.subjects(), |s| Ok(u32::try_from(s)? * 3_000)).unwrap();
    let mut out = vec![0_u64; graph.len()];
    bencher.counter(ItemsCount::new(graph.links)).bench_local(|| {
        graph.weigh(black_box(&values), &mut out).unwrap();
        black_box(out[0])
    });
}

#[divan::bench(args = ["uniform", "power_law"], sample_count = 5)]
fn build_from_ties(bencher: Bencher, shape: &str) {
    let pairs = pairs(shape);
    bencher
        .counter(ItemsCount::new(2 * pairs.len()))
        .with_inputs(|| ties(&pairs))
        .bench_local_values(|ties| build(ties).links);
}
