//! One synthetic subject: everything about it follows from the seed and its number, so that any month of any table
//! can be written without the months before.

use fastrand::Rng;

/// A population's size and seed.
#[derive(Debug, Clone, Copy)]
pub struct World {
    /// Number of subjects.
    pub subjects: u64,
    /// The seed.
    pub seed: u64,
}

/// What a random stream is for; streams do not depend on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The subject itself.
    Person = 1,
    /// Its repayments.
    Repayments,
    /// Its utility bills.
    Utilities,
    /// Its purchases.
    Purchases,
    /// Its ties.
    Ties,
    /// Consents, records, disputes, outcome and groups.
    Registers,
    /// What a small business sells.
    Sales,
}

/// A subject.
#[derive(Debug, Clone)]
pub struct Person {
    /// Its number, from 0.
    pub number: u64,
    /// Latent creditworthiness, standard normal.
    pub worth: f64,
    /// Whether it is a small business.
    pub business: bool,
    /// Months since it registered, at the last day.
    pub months_known: u32,
    /// Credit accounts: product, opening months before the last day, monthly amount or limit.
    pub accounts: Vec<Account>,
    /// Utility services paid monthly.
    pub services: Vec<Service>,
    /// Expected orders a month.
    pub orders: f64,
    /// Typical order, minor units.
    pub order_size: f64,
    /// Monthly income, minor units.
    pub income: f64,
    /// Months (back from the last) in which money is short: from and to.
    pub distress: Vec<(u32, u32)>,
    /// Months back since which nothing happens any more.
    pub silent_for: u32,
}

/// A credit account.
#[derive(Debug, Clone)]
pub struct Account {
    /// Position among the contract's products.
    pub product: usize,
    /// Months before the last day it was opened.
    pub opened: u32,
    /// Monthly instalment, or the limit of a card or line; minor units.
    pub amount: f64,
    /// For cards and lines: usual share of the limit in use.
    pub usage: f64,
    /// Day of the month bills are due.
    pub due_day: i8,
}

/// A utility service.
#[derive(Debug, Clone)]
pub struct Service {
    /// Position among the contract's services.
    pub service: usize,
    /// Typical monthly bill, minor units.
    pub bill: f64,
    /// Day of the month bills are due.
    pub due_day: i8,
    /// Paid by standing order.
    pub autopay: bool,
}

impl World {
    /// The random numbers of one stream of a subject, apart for every `step`.
    #[must_use]
    pub fn rng(&self, stream: Stream, number: u64, step: u64) -> Rng {
        Rng::with_seed(mix(mix(mix(self.seed ^ stream as u64) ^ number) ^ step))
    }

    /// The pseudonym of a subject: twenty hexadecimal digits, different for every number. (Of sixteen, one in two
    /// thousand would be digits only and could pass for a card number.)
    #[must_use]
    pub fn pseudonym(&self, number: u64) -> String {
        // `mix` is a bijection, so no two numbers share a pseudonym.
        let scattered = mix(number ^ mix(self.seed));
        format!("{scattered:016x}{:04x}", mix(scattered) >> 48)
    }

    /// Creditworthiness by rank: the population is spread evenly over the normal distribution.
    #[must_use]
    pub fn worth(&self, number: u64) -> f64 {
        normal_quantile((self.rank(number) as f64 + 0.5) / self.subjects as f64)
    }

    /// The subject's place when ordered by creditworthiness: a permutation of the numbers.
    #[must_use]
    pub fn rank(&self, number: u64) -> u64 {
        let mut rank = self.shuffle(number, false);
        while rank >= self.subjects {
            rank = self.shuffle(rank, false);
        }
        rank
    }

    /// The subject at a place.
    #[must_use]
    pub fn at_rank(&self, rank: u64) -> u64 {
        let mut number = self.shuffle(rank, true);
        while number >= self.subjects {
            number = self.shuffle(number, true);
        }
        number
    }

    /// Four rounds of a Feistel network over the smallest even number of bits that holds the population.
    fn shuffle(&self, value: u64, back: bool) -> u64 {
        let half = (64 - self.subjects.max(2).leading_zeros()).div_ceil(2);
        let mask = (1 << half) - 1;
        let (mut left, mut right) = (value >> half, value & mask);
        for round in 0..4 {
            let round = if back { 3 - round } else { round };
            if back {
                (left, right) = (right ^ (mix(left ^ mix(self.seed ^ round)) & mask), left);
            } else {
                (left, right) = (right, left ^ (mix(right ^ mix(self.seed ^ round)) & mask));
            }
        }
        left << half | right
    }

    /// A subject in full.
    #[must_use]
    pub fn person(&self, number: u64) -> Person {
        let mut rng = self.rng(Stream::Person, number, 0);
        let worth = self.worth(number);
        let business = rng.f64() < 0.06;
        let months_known = 1 + whole(exponential(&mut rng, 40.0)).min(180);
        let thin = rng.f64() < 0.22;
        let income = 600_000.0 * (0.25 * worth + 0.5 * normal(&mut rng)).exp() * if business { 4.0 } else { 1.0 };
        let mut accounts = Vec::new();
        if !thin {
            for _ in 0..1 + usize::from(rng.f64() < 0.6) + usize::from(rng.f64() < 0.5) {
                accounts.push(account(&mut rng, worth, income, months_known));
            }
        }
        let services =
            (0..if thin { rng.usize(0..2) } else { rng.usize(0..4) }).map(|_| service(&mut rng, worth)).collect();
        let short = poisson(&mut rng, (-0.9 - 0.9 * worth).exp().min(4.0));
        let distress = (0..short)
            .map(|_| {
                let from = rng.u32(0..36);
                (from, from + 1 + whole(exponential(&mut rng, 2.5)))
            })
            .collect();
        let silent_for = if rng.f64() < 0.03 { rng.u32(3..18) } else { 0 };
        Person {
            number,
            worth,
            business,
            months_known,
            accounts,
            services,
            orders: 3.9 * (0.12 * worth + 0.55 * normal(&mut rng) - 0.15).exp() * if business { 1.6 } else { 1.0 },
            order_size: 9_000.0 * (0.2 * worth + 0.6 * normal(&mut rng)).exp(),
            income,
            distress,
            silent_for,
        }
    }
}

fn account(rng: &mut Rng, worth: f64, income: f64, months_known: u32) -> Account {
    let product = match rng.u32(0..100) {
        0..50 => 0,
        50..82 => 1,
        82..92 => 2,
        92..98 => 3,
        _ => 4,
    };
    let amount = match product {
        1 | 3 => income * (1.0 + 0.3 * worth).max(0.2) * (0.5 + rng.f64()),
        2 => income * (0.2 + 0.2 * rng.f64()),
        _ => income * (0.04 + 0.18 * rng.f64()),
    };
    Account {
        product,
        opened: rng.u32(0..months_known.max(2) + 24),
        amount,
        usage: (0.35 - 0.15 * worth + 0.2 * normal(rng)).clamp(0.0, 1.05),
        due_day: rng.i8(1..29),
    }
}

fn service(rng: &mut Rng, worth: f64) -> Service {
    const TYPICAL: [f64; 9] = [12_000.0, 8_000.0, 5_000.0, 7_900.0, 9_900.0, 30_000.0, 260_000.0, 20_000.0, 6_000.0];
    let service = [0, 0, 0, 1, 2, 3, 3, 3, 4, 5, 6, 6, 7, 8][rng.usize(0..14)];
    Service {
        service,
        bill: TYPICAL[service] * (0.4 * normal(rng)).exp(),
        due_day: rng.i8(1..29),
        autopay: rng.f64() < (0.35 + 0.12 * worth).clamp(0.05, 0.9),
    }
}

impl Person {
    /// Whether money is short in a month, counted back from the last.
    #[must_use]
    pub fn distressed(&self, months_ago: u32) -> bool {
        self.distress.iter().any(|(from, to)| (*from..*to).contains(&months_ago))
    }

    /// How likely a bill of a month is paid late.
    #[must_use]
    pub fn lateness(&self, months_ago: u32) -> f64 {
        if self.distressed(months_ago) { 0.72 } else { logistic(-3.9 - 0.75 * self.worth) }
    }

    /// Whether it has registered and is not silent in a month.
    #[must_use]
    pub const fn active(&self, months_ago: u32) -> bool {
        months_ago < self.months_known && months_ago >= self.silent_for
    }
}

/// A bijection of 64-bit numbers that scatters them (the finaliser of SplitMix64).
#[must_use]
pub const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// 1 / (1 + e^−x).
#[must_use]
pub fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// A standard normal number (Box and Muller 1958).
#[must_use]
pub fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

/// An exponential number of that mean.
#[must_use]
pub fn exponential(rng: &mut Rng, mean: f64) -> f64 {
    -mean * (1.0 - rng.f64()).ln()
}

/// A Poisson number of that mean, by multiplication of uniform numbers.
#[must_use]
pub fn poisson(rng: &mut Rng, mean: f64) -> u32 {
    let limit = (-mean).exp();
    let (mut count, mut product) = (0, rng.f64());
    while product > limit && count < 500 {
        count += 1;
        product *= rng.f64();
    }
    count
}

/// A non-negative double as a whole number.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an `as` of a double saturates, and it is not negative"
)]
pub const fn whole(value: f64) -> u32 {
    value as u32
}

/// Minor units of a non-negative amount.
#[must_use]
#[allow(clippy::cast_possible_truncation, reason = "an `as` of a double saturates")]
pub const fn minor(value: f64) -> i64 {
    value as i64
}

/// The quantile of the standard normal distribution, to about 10^-4 (Odeh and Evans' simpler relatives suffice here:
/// Abramowitz and Stegun 26.2.23).
fn normal_quantile(p: f64) -> f64 {
    let tail = if p < 0.5 { p } else { 1.0 - p };
    let t = (-2.0 * tail.max(1e-12).ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    let value = t - above / below;
    if p < 0.5 { -value } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_a_permutation() {
        for subjects in [1, 2, 3, 1000, 1025] {
            let world = World { subjects, seed: 7 };
            let mut ranks: Vec<u64> = (0..subjects).map(|n| world.rank(n)).collect();
            assert!((0..subjects).all(|n| world.at_rank(world.rank(n)) == n));
            ranks.sort_unstable();
            assert_eq!(ranks, (0..subjects).collect::<Vec<_>>());
        }
    }

    #[test]
    fn creditworthiness_is_standard_normal() {
        let world = World { subjects: 10_000, seed: 3 };
        let worths: Vec<f64> = (0..10_000).map(|n| world.worth(n)).collect();
        let mean = worths.iter().sum::<f64>() / 1e4;
        let variance = worths.iter().map(|w| w * w).sum::<f64>() / 1e4;
        assert!(mean.abs() < 1e-3 && (variance - 1.0).abs() < 1e-2, "{mean} {variance}");
    }
}
