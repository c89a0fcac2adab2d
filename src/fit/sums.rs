//! The loss of log-odds that are linear in steps, with its slope and curvature: sums over rows that are exact, whatever their order.
//!
//! What a row adds is worked out in doubles with `libm`, the same on every machine, and rounded to 2⁻⁴⁰; the rest is integers. Loss and
//! slope are of all rows. The curvature, which takes by far the longest and decides only how fast the least is found, is that of every
//! second, fourth, … row when there are very many.

use std::sync::atomic::AtomicBool;

use anyhow::{Result, ensure};
use rayon::prelude::*;

use super::matrix::Matrix;
use super::sample::{Chosen, Sample, ranges};
use super::steps::Steps;
use super::weighting::Weighting;
use crate::exit;

/// One, as the sums count it.
const ONE: f64 = (1_u64 << 40) as f64;

/// The most rows of a segment: their curvature, at most a quarter each, fits 64 bits.
const MOST_ROWS: usize = 1 << 24;

/// Rows that are worked on together, so that their bins stay near the processor.
const CHUNK: usize = 4_096;

/// So many rows, at least half of them, tell the curvature when there are more.
const CURVED_ROWS: usize = 1 << 19;

/// What is fitted to.
#[derive(Debug, Clone, Copy)]
pub struct Data<'a> {
    /// The sample.
    pub sample: &'a Sample,
    /// Which of its rows.
    pub chosen: &'a Chosen,
    /// The steps.
    pub steps: &'a Steps,
    /// The weights of categories.
    pub weighting: &'a Weighting,
    /// What a point is worth in log-odds.
    pub beta: f64,
    /// Set when the work is to stop.
    pub stop: &'a AtomicBool,
}

/// Loss, slope and curvature over the intercept and the steps.
#[derive(Debug)]
pub struct Sums {
    /// Σ w·[log(1+e^η) − good·η].
    pub loss: f64,
    /// Its slope.
    pub gradient: Vec<f64>,
    /// Its curvature.
    pub curvature: Matrix,
}

/// By segment what the rows add up to, by the bins of features.
struct Cells {
    loss: i128,
    error: i128,
    weight: i128,
    errors: Vec<i128>,
    weights: Vec<i128>,
    pairs: Vec<i64>,
    /// The curvature is that of every so many rows.
    every: usize,
}

/// How the bins of some steps are numbered.
pub struct Numbering {
    /// By feature, for each of the finest bins the bin.
    coarse: Vec<Vec<u8>>,
    /// Number of bins of each feature, those of missing values among them.
    widths: Vec<usize>,
    /// Where the bins of each feature stand.
    starts: Vec<usize>,
    /// By feature, where the cells with each later one stand.
    pairs: Vec<Vec<usize>>,
    /// Number of cells.
    cells: usize,
}

impl Numbering {
    /// Numbers the bins of some steps.
    ///
    /// # Errors
    /// When a feature has more bins than a byte numbers.
    pub fn new(sample: &Sample, steps: &Steps) -> Result<Self> {
        let number = |bins: Vec<usize>| bins.into_iter().map(u8::try_from).collect::<Result<Vec<u8>, _>>();
        let coarse = sample.features.iter().zip(&steps.edges).map(|(f, edges)| Ok(number(f.coarser(edges))?));
        let coarse = coarse.collect::<Result<Vec<_>>>()?;
        let widths: Vec<usize> = steps.paths.iter().map(Vec::len).collect();
        let mut cells = 0;
        let mut pairs = Vec::with_capacity(widths.len());
        for (f, width) in widths.iter().enumerate() {
            let later = widths[f + 1..].iter().map(|with| width * with);
            pairs.push(
                later.clone().scan(cells, |at, size| Some(std::mem::replace(at, *at + size))).collect::<Vec<usize>>(),
            );
            cells += later.sum::<usize>();
        }
        let starts = ranges(widths.iter().copied()).into_iter().map(|r| r.start).collect();
        Ok(Self { coarse, widths, starts, pairs, cells })
    }
}

impl Data<'_> {
    fn factors(&self) -> Vec<Vec<f64>> {
        self.weighting.factors(self.sample)
    }

    /// By segment, feature and finest bin: what a value adds to the log-odds.
    fn table(&self, steps: &[f64]) -> Vec<Vec<Vec<f64>>> {
        let worth: Vec<Vec<f64>> = (0..self.sample.features.len())
            .map(|f| {
                let worth = self.steps.worth(f, steps);
                self.sample.features[f].coarser(&self.steps.edges[f]).into_iter().map(|bin| worth[bin]).collect()
            })
            .collect();
        let scaled = |(worth, factor): (&Vec<f64>, &f64)| worth.iter().map(|w| w * factor).collect();
        self.factors().iter().map(|factors| worth.iter().zip(factors).map(scaled).collect()).collect()
    }

    /// The log-odds of some rows of one segment.
    fn log_odds(&self, rows: &[u32], intercept: f64, table: &[Vec<f64>]) -> Vec<f64> {
        let held = |row: &u32| self.weighting.offset(&self.sample.rows, *row as usize);
        let mut eta: Vec<f64> = rows.iter().map(|r| intercept + self.beta * held(r)).collect();
        for (feature, table) in self.sample.features.iter().zip(table) {
            for (eta, row) in eta.iter_mut().zip(rows) {
                *eta += table[usize::from(feature.bins[*row as usize])];
            }
        }
        eta
    }

    /// The log-odds of every chosen row, in the order of [`Chosen::rows`].
    #[must_use]
    pub fn predicted(&self, chosen: &Chosen, intercept: f64, steps: &[f64]) -> Vec<f64> {
        let table = self.table(steps);
        let of = |(rows, table): (&Vec<u32>, &Vec<Vec<f64>>)| self.log_odds(rows, intercept, table);
        chosen.by_segment.iter().zip(&table).flat_map(of).collect()
    }

    /// The loss alone.
    ///
    /// # Errors
    /// When the work is interrupted.
    pub fn loss(&self, intercept: f64, steps: &[f64]) -> Result<f64> {
        let table = self.table(steps);
        let mut all = 0_i128;
        for (rows, table) in self.chosen.by_segment.iter().zip(&table) {
            all += rows
                .par_chunks(CHUNK)
                .map(|rows| {
                    exit::check(self.stop)?;
                    let eta = self.log_odds(rows, intercept, table);
                    let of = |(row, eta): (&u32, &f64)| i128::from(quantised(self.row(*row, *eta).loss));
                    anyhow::Ok(rows.iter().zip(&eta).map(of).sum::<i128>())
                })
                .try_reduce(|| 0, |a, b| Ok(a + b))?;
        }
        Ok(all as f64 / ONE)
    }

    /// Of how many rows one tells the curvature to begin with: a power of two, at most the rows that are worked on together.
    #[must_use]
    pub fn usual_every(&self) -> usize {
        let rows: usize = self.chosen.by_segment.iter().map(Vec::len).sum();
        rows.div_ceil(CURVED_ROWS).next_power_of_two().min(CHUNK)
    }

    /// Loss, slope and curvature, the last of every so many rows.
    ///
    /// # Errors
    /// When the work is interrupted, or there are more rows than sums can hold.
    pub fn sums(&self, numbering: &Numbering, every: usize, intercept: f64, steps: &[f64]) -> Result<Sums> {
        let (table, factors) = (self.table(steps), self.factors());
        let mut sums = Sums {
            loss: 0.0,
            gradient: vec![0.0; 1 + self.steps.len()],
            curvature: Matrix::zero(1 + self.steps.len()),
        };
        let mut loss = 0_i128;
        for (segment, (rows, table)) in self.chosen.by_segment.iter().zip(&table).enumerate() {
            ensure!(
                rows.len() <= MOST_ROWS,
                "a segment has {} rows, and {MOST_ROWS} can be fitted to; take fewer dates",
                rows.len()
            );
            let cells = rows
                .par_chunks(CHUNK)
                .try_fold(
                    || Cells::new(numbering, every),
                    |mut cells, rows| {
                        exit::check(self.stop)?;
                        let eta = self.log_odds(rows, intercept, table);
                        self.add(rows, &eta, numbering, &mut cells);
                        anyhow::Ok(cells)
                    },
                )
                .try_reduce(|| Cells::new(numbering, every), |a, b| Ok(a.merged(&b)))?;
            loss += cells.loss;
            self.spread(&cells, numbering, &factors[segment], &mut sums);
        }
        sums.loss = loss as f64 / ONE;
        for i in 0..sums.gradient.len() {
            for j in 0..i {
                sums.curvature[(i, j)] = sums.curvature[(j, i)];
            }
        }
        Ok(sums)
    }

    fn row(&self, row: u32, eta: f64) -> OfRow {
        let rows = &self.sample.rows;
        let (good, weight) = (if rows.bad[row as usize] { 0.0 } else { 1.0 }, rows.weight[row as usize]);
        OfRow::new(eta, good, weight)
    }

    /// Adds some rows of one segment.
    fn add(&self, rows: &[u32], eta: &[f64], numbering: &Numbering, cells: &mut Cells) {
        let every = cells.every;
        let mut weights = Vec::with_capacity(rows.len() / every + 1);
        let mut errors = Vec::with_capacity(rows.len());
        for (n, (row, eta)) in rows.iter().zip(eta).enumerate() {
            let of = self.row(*row, *eta);
            cells.loss += i128::from(quantised(of.loss));
            errors.push(quantised(of.error));
            if n % every == 0 {
                weights.push(quantised(of.curvature));
            }
        }
        cells.error += errors.iter().map(|e| i128::from(*e)).sum::<i128>();
        cells.weight += weights.iter().map(|w| i128::from(*w)).sum::<i128>();
        let bins: Vec<Vec<u8>> = self
            .sample
            .features
            .iter()
            .zip(&numbering.coarse)
            .map(|(f, coarse)| rows.iter().map(|r| coarse[usize::from(f.bins[*r as usize])]).collect())
            .collect();
        let curved: Vec<Vec<u8>> = match every {
            1 => Vec::new(),
            _ => bins.iter().map(|of| of.iter().step_by(every).copied().collect()).collect(),
        };
        let curved = if every == 1 { &bins } else { &curved };
        for (f, of) in bins.iter().enumerate() {
            let at = numbering.starts[f];
            for (bin, error) in of.iter().zip(&errors) {
                cells.errors[at + usize::from(*bin)] += i128::from(*error);
            }
        }
        for (f, of) in curved.iter().enumerate() {
            let at = numbering.starts[f];
            for (bin, weight) in of.iter().zip(&weights) {
                cells.weights[at + usize::from(*bin)] += i128::from(*weight);
            }
            for ((with, width), at) in curved[f + 1..].iter().zip(&numbering.widths[f + 1..]).zip(&numbering.pairs[f]) {
                let pairs = &mut cells.pairs[*at..];
                for ((bin, with), weight) in of.iter().zip(with).zip(&weights) {
                    pairs[usize::from(*bin) * width + usize::from(*with)] += weight;
                }
            }
        }
    }

    /// Adds what bins add up to in a segment to the steps between neutral and them.
    fn spread(&self, cells: &Cells, numbering: &Numbering, factors: &[f64], sums: &mut Sums) {
        sums.gradient[0] += cells.error as f64 / ONE;
        let unit = cells.every as f64 / ONE;
        sums.curvature[(0, 0)] += cells.weight as f64 * unit;
        let paths = &self.steps.paths;
        for (f, of) in paths.iter().enumerate() {
            for (bin, path) in of.iter().enumerate() {
                let scale = path.sign() * factors[f];
                let error = cells.errors[numbering.starts[f] + bin] as f64 * (scale / ONE);
                let weight = cells.weights[numbering.starts[f] + bin] as f64 * (scale * unit);
                for step in path.steps.clone() {
                    sums.gradient[1 + step] += error;
                    sums.curvature[(0, 1 + step)] += weight;
                    for other in path.steps.clone() {
                        sums.curvature[(1 + step, 1 + other)] += weight * path.sign() * factors[f];
                    }
                }
            }
            for (n, (with, at)) in paths[f + 1..].iter().zip(&numbering.pairs[f]).enumerate() {
                let factor = factors[f] * factors[f + 1 + n] * unit;
                for (bin, path) in of.iter().enumerate() {
                    for (other, across) in with.iter().enumerate() {
                        let pair = cells.pairs[at + bin * with.len() + other];
                        let value = pair as f64 * factor * path.sign() * across.sign();
                        for step in path.steps.clone().filter(|_| pair > 0) {
                            for along in across.steps.clone() {
                                sums.curvature[(1 + step, 1 + along)] += value;
                            }
                        }
                    }
                }
            }
        }
    }
}

impl Cells {
    fn new(numbering: &Numbering, every: usize) -> Self {
        let bins: usize = numbering.widths.iter().sum();
        Self {
            loss: 0,
            error: 0,
            weight: 0,
            errors: vec![0; bins],
            weights: vec![0; bins],
            pairs: vec![0; numbering.cells],
            every,
        }
    }

    fn merged(mut self, other: &Self) -> Self {
        self.loss += other.loss;
        self.error += other.error;
        self.weight += other.weight;
        self.errors.iter_mut().zip(&other.errors).for_each(|(a, b)| *a += b);
        self.weights.iter_mut().zip(&other.weights).for_each(|(a, b)| *a += b);
        self.pairs.iter_mut().zip(&other.pairs).for_each(|(a, b)| *a += b);
        self
    }
}

/// What a row adds.
struct OfRow {
    loss: f64,
    error: f64,
    curvature: f64,
}

impl OfRow {
    fn new(eta: f64, good: f64, weight: f64) -> Self {
        let small = libm::exp(-eta.abs());
        let p = if eta >= 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) };
        let loss = eta.max(0.0) + libm::log1p(small) - good * eta;
        Self { loss: weight * loss, error: weight * (p - good), curvature: weight * p * (1.0 - p) }
    }
}

/// To the nearest 2⁻⁴⁰.
#[allow(clippy::cast_possible_truncation, reason = "a row adds at most a few hundred, which 2⁴⁰ makes some 2⁵⁰")]
fn quantised(value: f64) -> i64 {
    (value * ONE).round_ties_even() as i64
}
