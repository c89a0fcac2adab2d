//! Dense matrices of a few hundred rows, and the factors of a symmetric positive definite one.

use std::ops::{Index, IndexMut};

/// A square matrix, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    size: usize,
    values: Vec<f64>,
}

impl Matrix {
    /// All zero.
    #[must_use]
    pub fn zero(size: usize) -> Self {
        Self { size, values: vec![0.0; size * size] }
    }

    /// Number of rows, which is that of columns.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// A row.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.size..(row + 1) * self.size]
    }

    /// The product with a vector.
    #[must_use]
    pub fn times(&self, vector: &[f64]) -> Vec<f64> {
        (0..self.size).map(|row| dot(self.row(row), vector)).collect()
    }

    /// Adds a multiple of the product of a sparse vector with itself.
    pub fn add_outer(&mut self, of: &[(usize, f64)], factor: f64) {
        for (i, a) in of {
            for (j, b) in of {
                self[(*i, *j)] += factor * a * b;
            }
        }
    }

    /// The lower factor L of L·Lᵀ; nothing when the matrix is not positive definite.
    #[must_use]
    pub fn cholesky(&self) -> Option<Self> {
        let mut lower = Self::zero(self.size);
        for i in 0..self.size {
            for j in 0..=i {
                let rest = self[(i, j)] - dot(&lower.row(i)[..j], &lower.row(j)[..j]);
                if i == j {
                    if rest.is_nan() || rest <= 0.0 {
                        return None;
                    }
                    lower[(i, i)] = rest.sqrt();
                } else {
                    lower[(i, j)] = rest / lower[(j, j)];
                }
            }
        }
        Some(lower)
    }

    /// The inverse of a lower factor, turned over: (L⁻¹)ᵀ, an upper matrix.
    #[must_use]
    pub fn inverse_of_lower_transposed(&self) -> Self {
        let mut inverse = Self::zero(self.size);
        for column in 0..self.size {
            for row in column..self.size {
                let known = (column..row).map(|k| self[(row, k)] * inverse[(column, k)]).sum::<f64>();
                let unit = if row == column { 1.0 } else { 0.0 };
                inverse[(column, row)] = (unit - known) / self[(row, row)];
            }
        }
        inverse
    }

    /// The inverse of a symmetric positive definite matrix; nothing of another.
    #[must_use]
    pub fn inverse(&self) -> Option<Self> {
        let upper = self.cholesky()?.inverse_of_lower_transposed();
        let mut inverse = Self::zero(self.size);
        for i in 0..self.size {
            for j in 0..=i {
                let value = dot(&upper.row(i)[i..], &upper.row(j)[i..]);
                (inverse[(i, j)], inverse[(j, i)]) = (value, value);
            }
        }
        Some(inverse)
    }
}

impl Index<(usize, usize)> for Matrix {
    type Output = f64;

    fn index(&self, (row, column): (usize, usize)) -> &f64 {
        &self.values[row * self.size + column]
    }
}

impl IndexMut<(usize, usize)> for Matrix {
    fn index_mut(&mut self, (row, column): (usize, usize)) -> &mut f64 {
        &mut self.values[row * self.size + column]
    }
}

/// The sum of the products of two vectors' entries.
#[must_use]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_matrix_times_its_inverse_is_one(entries in proptest::collection::vec(-3.0_f64..3.0, 36)) {
            let mut matrix = Matrix::zero(6);
            for row in entries.chunks(6) {
                matrix.add_outer(&row.iter().copied().enumerate().collect::<Vec<_>>(), 1.0);
            }
            for n in 0..6 {
                matrix[(n, n)] += 0.1;
            }
            let inverse = matrix.inverse().unwrap();
            for n in 0..6 {
                let unit: Vec<f64> = (0..6).map(|m| if m == n { 1.0 } else { 0.0 }).collect();
                let back = matrix.times(&inverse.times(&unit));
                prop_assert!(back.iter().zip(&unit).all(|(a, b)| (a - b).abs() < 1e-8));
            }
        }
    }

    #[test]
    fn what_is_not_positive_definite_has_no_factor() {
        let mut matrix = Matrix::zero(2);
        (matrix[(0, 0)], matrix[(0, 1)], matrix[(1, 0)], matrix[(1, 1)]) = (1.0, 2.0, 2.0, 1.0);
        assert_eq!(matrix.cholesky(), None);
    }
}
