//! A convex quadratic program of a few hundred unknowns, by the dual method of Goldfarb and Idnani (A numerically stable dual method
//! for solving strictly convex quadratic programs, 1983).
//!
//! It begins at the minimum without constraints and takes up one violated constraint after another, letting go of those that no longer
//! hold it back. What is at a bound is there exactly: an interior point only comes near, and its noise would decide ties.

use anyhow::{Context, Result, bail};

use super::matrix::{Matrix, dot};

/// Σ coefficient · unknown ≥ bound, or = bound.
#[derive(Debug, Clone, PartialEq)]
pub struct Constraint {
    /// Unknowns with their coefficients.
    pub of: Vec<(usize, f64)>,
    /// The bound.
    pub bound: f64,
    /// Whether nothing but the bound itself is allowed.
    pub equal: bool,
}

impl Constraint {
    fn slack(&self, x: &[f64]) -> f64 {
        self.of.iter().map(|(n, c)| c * x[*n]).sum::<f64>() - self.bound
    }

    /// How far off a slack may be and count as none. Where constraints follow from others it is rounding, and taking them up in turn
    /// would go on for ever.
    fn tolerance(&self, x: &[f64]) -> f64 {
        let largest = x.iter().fold(1e-3_f64, |largest, x| largest.max(x.abs()));
        1e-11 * largest * self.of.iter().map(|(_, c)| c.abs()).sum::<f64>()
    }
}

/// ½ xᵀ·G·x − aᵀ·x, to be made least within constraints.
#[derive(Debug)]
pub struct Quadratic {
    /// G, symmetric and positive definite.
    pub curvature: Matrix,
    /// a.
    pub linear: Vec<f64>,
    /// The constraints.
    pub constraints: Vec<Constraint>,
}

/// The least point.
#[derive(Debug)]
pub struct Solution {
    /// The unknowns.
    pub x: Vec<f64>,
    /// The constraints that hold them back, by position, and how hard: the slope at x is the sum of their normals times these.
    pub held_by: Vec<(usize, f64)>,
}

/// The constraints that hold x back, and how hard.
struct Active {
    /// Which they are.
    constraints: Vec<usize>,
    /// How hard each holds.
    multipliers: Vec<f64>,
    /// Equalities that were approached from above.
    turned: Vec<usize>,
    /// Constraints that follow from active ones, which hold but for rounding.
    implied: Vec<usize>,
    /// (L⁻¹)ᵀ·Q, column by column, for G = L·Lᵀ and L⁻¹·N = Q·R with the normals N of the active constraints.
    columns: Vec<Vec<f64>>,
    /// R, an upper triangle, column by column.
    triangle: Vec<Vec<f64>>,
}

impl Quadratic {
    /// The one solution.
    ///
    /// # Errors
    /// When G is not positive definite, or the constraints exclude each other.
    pub fn solve(&self) -> Result<Solution> {
        let n = self.linear.len();
        let lower = self.curvature.cholesky().context("the curvature of the loss is not positive definite")?;
        let upper = lower.inverse_of_lower_transposed();
        let columns: Vec<Vec<f64>> = (0..n).map(|c| (0..n).map(|r| upper[(r, c)]).collect()).collect();
        let mut x = vec![0.0; n];
        for column in &columns {
            let along = dot(column, &self.linear);
            x.iter_mut().zip(column).for_each(|(x, c)| *x += along * c);
        }
        let mut active = Active {
            constraints: Vec::new(),
            multipliers: Vec::new(),
            turned: Vec::new(),
            implied: Vec::new(),
            columns,
            triangle: Vec::new(),
        };
        // Every round takes up a constraint; one that was let go may come back, but the objective rises each time.
        for _ in 0..100 * (self.constraints.len() + n) {
            let Some(next) = self.violated(&x, &active) else {
                self.settle(&mut x, &active);
                let signed = |(n, m): (usize, f64)| (n, if active.turned.contains(&n) { -m } else { m });
                let held_by = active.constraints.iter().copied().zip(active.multipliers.iter().copied()).map(signed);
                return Ok(Solution { x, held_by: held_by.collect() });
            };
            self.take_up(next, &mut x, &mut active)?;
        }
        bail!("the quadratic program went round in circles: {n} unknowns, {} constraints", self.constraints.len())
    }

    /// The constraint to take up: the equalities first, then the one that is violated most.
    fn violated(&self, x: &[f64], active: &Active) -> Option<usize> {
        let waiting = |n: &usize| !active.constraints.contains(n) && !active.implied.contains(n);
        let all = || self.constraints.iter().enumerate();
        if let Some(equal) = all().filter(|(_, c)| c.equal).map(|(n, _)| n).find(waiting) {
            return Some(equal);
        }
        let mut worst: Option<(usize, f64)> = None;
        for (n, c) in all().filter(|(n, _)| waiting(n)) {
            let slack = c.slack(x);
            if slack < -c.tolerance(x) && worst.is_none_or(|(_, w)| slack < w) {
                worst = Some((n, slack));
            }
        }
        worst.map(|(n, _)| n)
    }

    /// Moves until a constraint holds, dropping those that are in the way.
    fn take_up(&self, next: usize, x: &mut [f64], active: &mut Active) -> Result<()> {
        let constraint = &self.constraints[next];
        let sign = if constraint.equal && constraint.slack(x) > 0.0 { -1.0 } else { 1.0 };
        let mut multiplier = 0.0;
        loop {
            let of_normal: Vec<f64> = active
                .columns
                .iter()
                .map(|column| constraint.of.iter().map(|(n, c)| sign * c * column[*n]).sum())
                .collect();
            let held = active.constraints.len();
            let mut direction = vec![0.0; x.len()];
            for (column, along) in active.columns[held..].iter().zip(&of_normal[held..]) {
                direction.iter_mut().zip(column).for_each(|(d, c)| *d += along * c);
            }
            let relief = active.back_substituted(&of_normal[..held]);
            let mut drop: Option<(usize, f64)> = None;
            // A relief that is nothing but rounding would make a multiplier beyond all measure.
            let least = 1e-12 * relief.iter().fold(0.0_f64, |most, r| most.max(r.abs()));
            for (n, relief) in relief.iter().enumerate().filter(|(n, r)| **r > least && active.may_go(*n, self)) {
                let step = active.multipliers[n] / relief;
                if drop.is_none_or(|(_, least)| step < least) {
                    drop = Some((n, step));
                }
            }
            let climb: f64 = of_normal[held..].iter().map(|v| v * v).sum();
            let whole: f64 = of_normal.iter().map(|v| v * v).sum();
            let full = (climb > 1e-14 * whole).then(|| -sign * constraint.slack(x) / climb);
            let step = match (full, drop) {
                // It depends on those that are active: what it lacks is rounding, or they exclude it.
                (None, None) if -sign * constraint.slack(x) <= 100.0 * constraint.tolerance(x) => {
                    active.implied.push(next);
                    return Ok(());
                }
                (None, None) => bail!("the constraints of the model exclude each other"),
                (Some(full), Some((_, part))) => full.min(part),
                (Some(full), None) => full,
                (None, Some((_, part))) => part,
            };
            if full.is_some() {
                x.iter_mut().zip(&direction).for_each(|(x, d)| *x += step * d);
            }
            active.multipliers.iter_mut().zip(&relief).for_each(|(m, r)| *m -= step * r);
            multiplier += step;
            match (full, drop) {
                (Some(full), _) if step >= full => {
                    active.add(next, multiplier, of_normal);
                    active.turned.extend((sign < 0.0).then_some(next));
                    return Ok(());
                }
                (_, Some((n, _))) => active.drop(n),
                _ => bail!("a step of the quadratic program is no number"),
            }
        }
    }

    /// What is at a bound of its own is put there exactly.
    fn settle(&self, x: &mut [f64], active: &Active) {
        for (n, constraint) in self.constraints.iter().enumerate() {
            if let [(at, coefficient)] = constraint.of[..]
                && (active.constraints.contains(&n) || constraint.slack(x) < 0.0)
            {
                x[at] = constraint.bound / coefficient;
            }
        }
    }
}

impl Active {
    fn may_go(&self, n: usize, of: &Quadratic) -> bool {
        !of.constraints[self.constraints[n]].equal
    }

    /// R⁻¹ of a vector.
    fn back_substituted(&self, of: &[f64]) -> Vec<f64> {
        let mut solved = of.to_vec();
        for n in (0..solved.len()).rev() {
            let known: f64 = (n + 1..solved.len()).map(|m| self.triangle[m][n] * solved[m]).sum();
            solved[n] = (solved[n] - known) / self.triangle[n][n];
        }
        solved
    }

    fn add(&mut self, constraint: usize, multiplier: f64, mut of_normal: Vec<f64>) {
        let held = self.constraints.len();
        // Turned until nothing of the normal is left beyond its own place in the triangle.
        for n in (held + 1..of_normal.len()).rev() {
            let (a, b) = (of_normal[n - 1], of_normal[n]);
            let (cosine, sine, length) = turn(a, b);
            (of_normal[n - 1], of_normal[n]) = (length, 0.0);
            self.turn_columns(n - 1, cosine, sine);
        }
        of_normal.truncate(held + 1);
        self.triangle.push(of_normal);
        self.constraints.push(constraint);
        self.multipliers.push(multiplier);
    }

    fn drop(&mut self, at: usize) {
        self.constraints.remove(at);
        self.multipliers.remove(at);
        self.triangle.remove(at);
        // The columns behind it have one entry below the diagonal.
        for n in at..self.triangle.len() {
            let (cosine, sine, _) = turn(self.triangle[n][n], self.triangle[n][n + 1]);
            for column in &mut self.triangle[n..] {
                let (a, b) = (column[n], column[n + 1]);
                (column[n], column[n + 1]) = (cosine * a + sine * b, cosine * b - sine * a);
            }
            self.triangle[n].truncate(n + 1);
            self.turn_columns(n, cosine, sine);
        }
    }

    fn turn_columns(&mut self, n: usize, cosine: f64, sine: f64) {
        let (left, right) = self.columns.split_at_mut(n + 1);
        for (a, b) in left[n].iter_mut().zip(&mut right[0]) {
            (*a, *b) = (cosine * *a + sine * *b, cosine * *b - sine * *a);
        }
    }
}

/// The turn of a plane that lays (a, b) on the first axis: cosine, sine, and the length there.
fn turn(a: f64, b: f64) -> (f64, f64, f64) {
    if b == 0.0 {
        return (1.0, 0.0, a);
    }
    let length = (a * a + b * b).sqrt();
    (a / length, b / length, length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn positive(entries: &[f64], size: usize, ridge: f64) -> Matrix {
        let mut matrix = Matrix::zero(size);
        for row in entries.chunks_exact(size) {
            matrix.add_outer(&row.iter().copied().enumerate().collect::<Vec<_>>(), 1.0);
        }
        for n in 0..size {
            matrix[(n, n)] += ridge;
        }
        matrix
    }

    #[test]
    fn constraints_that_exclude_each_other_are_told() {
        let least = |sign: f64| Constraint { of: vec![(0, sign)], bound: 1.0, equal: false };
        let program = Quadratic {
            curvature: positive(&[1.0], 1, 0.0),
            linear: vec![0.0],
            constraints: vec![least(1.0), least(-1.0)],
        };
        assert!(program.solve().is_err());
    }

    /// An interior point comes near a bound and not upon it, so the least is compared closely and the point less so.
    #[test]
    fn programs_of_a_fit_are_solved_as_clarabel_does() {
        let programs: Vec<serde_json::Value> =
            serde_json::from_str(include_str!("../../tests/statistics/quadratic.json")).unwrap();
        let numbers = |value: &serde_json::Value| {
            value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect::<Vec<_>>()
        };
        assert!(programs.len() >= 12);
        for program in &programs {
            let rows: Vec<Vec<f64>> = program["curvature"].as_array().unwrap().iter().map(numbers).collect();
            let mut curvature = Matrix::zero(rows.len());
            for (i, row) in rows.iter().enumerate() {
                for (j, value) in row.iter().enumerate() {
                    curvature[(i, j)] = *value;
                }
            }
            let constraint = |c: &serde_json::Value| Constraint {
                of: serde_json::from_value(c["of"].clone()).unwrap(),
                bound: c["bound"].as_f64().unwrap(),
                equal: c["equal"].as_bool().unwrap(),
            };
            let constraints = program["constraints"].as_array().unwrap().iter().map(constraint).collect();
            let (linear, of_it) = (numbers(&program["linear"]), curvature.clone());
            let x = Quadratic { curvature, linear: linear.clone(), constraints }.solve().unwrap().x;
            let least = 0.5 * dot(&x, &of_it.times(&x)) - dot(&linear, &x);
            let told = program["least"].as_f64().unwrap();
            assert!((least - told).abs() <= 1e-8 * told.abs().max(1.0), "{least} {told}");
            assert!(x.iter().zip(numbers(&program["x"])).all(|(a, b)| (a - b).abs() <= 1e-6), "{x:?}");
        }
    }

    proptest! {
        /// It is within the constraints, and the slope there is a sum of normals of those that are reached, none of them pulling
        /// (Karush, Kuhn and Tucker): of a convex program that is the least point.
        #[test]
        fn the_solution_is_the_least(
            entries in proptest::collection::vec(-2.0_f64..2.0, 36),
            linear in proptest::collection::vec(-4.0_f64..4.0, 6),
            normals in proptest::collection::vec(-2_i8..=2, 6 * 8),
            bounds in proptest::collection::vec(-3.0_f64..0.0, 8),
        ) {
            let mut constraints: Vec<Constraint> = normals
                .chunks_exact(6)
                .zip(&bounds)
                .map(|(normal, bound)| Constraint {
                    of: normal.iter().enumerate().filter(|(_, c)| **c != 0).map(|(n, c)| (n, f64::from(*c))).collect(),
                    bound: *bound,
                    equal: false,
                })
                .filter(|c| !c.of.is_empty())
                .collect();
            // Zero is within all of them, so there is a solution; signs of the unknowns come first.
            constraints.extend((0..6).map(|n| Constraint { of: vec![(n, 1.0)], bound: 0.0, equal: false }));
            constraints.push(Constraint { of: vec![(0, 1.0), (1, 1.0), (2, 1.0)], bound: 0.0, equal: true });
            let program = Quadratic { curvature: positive(&entries, 6, 0.05), linear, constraints };
            let Solution { x, held_by } = program.solve().unwrap();
            for c in &program.constraints {
                let slack = c.slack(&x);
                prop_assert!(if c.equal { slack.abs() < 1e-9 } else { slack > -1e-9 }, "{slack}");
            }
            let mut slope: Vec<f64> =
                program.curvature.times(&x).iter().zip(&program.linear).map(|(h, a)| h - a).collect();
            for (n, force) in &held_by {
                let c = &program.constraints[*n];
                prop_assert!(c.slack(&x).abs() < 1e-9 && (c.equal || *force >= 0.0), "{force}");
                c.of.iter().for_each(|(m, factor)| slope[*m] -= force * factor);
            }
            prop_assert!(slope.iter().all(|s| s.abs() < 1e-7), "{slope:?}");
        }
    }
}
