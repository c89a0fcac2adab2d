//! The scale of the scores, cut into cells that may be shown: bands, and a histogram within them.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::disclosure::neighbours::{merged, merged_within, sum};
use crate::disclosure::small;
use crate::pipeline::model::Card;

/// Points in a cell of the histogram, where enough subjects are in it.
const CELL: i64 = 10;

/// One band, or several that are shown together because one of them has few subjects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BandRow {
    /// The bands.
    pub bands: Vec<String>,
    /// Their lowest score.
    pub from: i64,
    /// The first score above them.
    pub below: i64,
    /// Subjects, if that may be shown.
    pub subjects: Option<u64>,
}

/// A cell of the histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cell {
    /// Its lowest score.
    pub from: i64,
    /// The first score above it.
    pub below: i64,
    /// Subjects, if that may be shown.
    pub subjects: Option<u64>,
}

/// The scale in cells. Every run of cells ends where a run that holds it ends, so no two counts that are shown differ by a
/// small one.
#[derive(Debug, Clone)]
pub struct ScoreScale {
    names: Vec<String>,
    /// Where cells begin, and the first score above the scale.
    edges: Vec<i64>,
    /// Scored subjects by cell.
    counts: Vec<[u64; 1]>,
    /// The cells of each band.
    bands: Vec<Range<usize>>,
    /// Runs of bands.
    groups: Vec<Range<usize>>,
    /// Runs of cells within the groups.
    cells: Vec<Range<usize>>,
    /// The group that hides how few have no score, or that few have one.
    hidden: Option<usize>,
    all_hidden: bool,
}

impl ScoreScale {
    /// Cuts a model's scale for subjects by score, and those without one.
    #[must_use]
    pub fn new(card: &Card, by_score: &[u64], unscored: u64, min_cell: u64) -> Self {
        let bands: Vec<(i64, String)> =
            card.band.iter().map(|b| (b.get_ref().from, b.get_ref().name.clone())).collect();
        let end = card.scale.high + 1;
        let mut edges: Vec<i64> =
            (0..).map(|n| card.scale.low + n * CELL).take_while(|e| *e < card.scale.high).collect();
        edges.extend(bands.iter().map(|b| b.0));
        edges.extend(card.privilege.iter().map(|p| p.get_ref().from).filter(|f| *f > card.scale.low && *f < end));
        edges.push(end);
        edges.sort_unstable();
        edges.dedup();
        let count = |from: i64, below: i64| -> u64 {
            (0_i64..).zip(by_score).filter(|(score, _)| (from..below).contains(score)).map(|(_, count)| count).sum()
        };
        let counts: Vec<[u64; 1]> = edges.windows(2).map(|e| [count(e[0], e[1])]).collect();
        let cell_at = |score: i64| edges.partition_point(|e| *e < score).min(counts.len());
        let starts: Vec<usize> = bands.iter().map(|b| cell_at(b.0)).collect();
        let ends = starts.iter().skip(1).copied().chain([counts.len()]);
        let of_bands: Vec<Range<usize>> = starts.iter().copied().zip(ends).map(|(from, to)| from..to).collect();
        let by_band: Vec<Vec<u64>> = of_bands.iter().map(|cells| sum(&counts, cells.clone())).collect();
        let groups = merged(&by_band, min_cell);
        let cells_of = |group: &Range<usize>| of_bands[group.start].start..of_bands[group.end - 1].end;
        let cells = merged_within(&counts, &groups.iter().map(cells_of).collect::<Vec<_>>(), min_cell);
        let scored: u64 = counts.iter().map(|c| c[0]).sum();
        let of_group = |n: &usize| sum(&by_band, groups[*n].clone())[0];
        let hidden = small(unscored, min_cell)
            .then(|| (0..groups.len()).filter(|n| of_group(n) > 0).min_by_key(of_group))
            .flatten();
        let names = bands.into_iter().map(|b| b.1).collect();
        Self { names, edges, counts, bands: of_bands, groups, cells, hidden, all_hidden: small(scored, min_cell) }
    }

    fn group_of(&self, cell: usize) -> usize {
        self.groups.iter().position(|g| cell < self.bands[g.end - 1].end).unwrap_or(0)
    }

    fn shown(&self, group: usize, cells: Range<usize>) -> Option<u64> {
        (!self.all_hidden && self.hidden != Some(group)).then(|| sum(&self.counts, cells)[0])
    }

    fn band_row(&self, bands: &Range<usize>, subjects: Option<u64>) -> BandRow {
        let (from, to) = (self.bands[bands.start].start, self.bands[bands.end - 1].end);
        BandRow { bands: self.names[bands.clone()].to_vec(), from: self.edges[from], below: self.edges[to], subjects }
    }

    /// Scored subjects from one edge of the scale's cells to below another, whether that may be shown or not.
    #[must_use]
    pub fn scored(&self, from: i64, below: i64) -> u64 {
        let cells = self.edges.windows(2).zip(&self.counts).filter(|(e, _)| e[0] >= from && e[1] <= below);
        cells.map(|(_, c)| c[0]).sum()
    }

    /// The bands.
    #[must_use]
    pub fn bands(&self) -> Vec<BandRow> {
        let row = |(n, bands): (usize, &Range<usize>)| {
            let cells = self.bands[bands.start].start..self.bands[bands.end - 1].end;
            self.band_row(bands, self.shown(n, cells))
        };
        self.groups.iter().enumerate().map(row).collect()
    }

    /// The histogram.
    #[must_use]
    pub fn histogram(&self) -> Vec<Cell> {
        let cell = |run: &Range<usize>| {
            let subjects = self.shown(self.group_of(run.start), run.clone());
            Cell { from: self.edges[run.start], below: self.edges[run.end], subjects }
        };
        self.cells.iter().map(cell).collect()
    }

    /// How many subjects have a score or a higher one; nothing where cells that are shown do not add up to it.
    #[must_use]
    pub fn from(&self, score: i64) -> Option<u64> {
        let cells = self.histogram();
        let above = cells.iter().filter(|c| c.from >= score);
        let cut = cells.iter().any(|c| c.from < score && score < c.below);
        if cut { None } else { above.map(|c| c.subjects).sum() }
    }

    /// The bands' names and lowest scores.
    #[must_use]
    pub fn band_edges(&self) -> Vec<(&str, i64)> {
        self.names.iter().zip(&self.bands).map(|(name, cells)| (name.as_str(), self.edges[cells.start])).collect()
    }

    /// Whether something on it is hidden: few subjects have a score, or few have none.
    #[must_use]
    pub const fn hides(&self) -> bool {
        self.all_hidden || self.hidden.is_some()
    }

    /// The scores between which bands are told apart; none where a band is hidden.
    #[must_use]
    pub fn told_edges(&self) -> Vec<i64> {
        if self.hides() {
            return Vec::new();
        }
        self.groups.iter().map(|g| self.edges[self.bands[g.start].start]).collect()
    }

    /// Runs of bands in which, by a breakdown of the subjects, nobody is small; and runs of the histogram's cells within them.
    /// `of` is the breakdown of the scores from one to below another.
    #[must_use]
    pub fn broken_down(&self, of: &dyn Fn(i64, i64) -> Vec<u64>, min_cell: u64) -> Breakdown {
        let of_row = |row: &BandRow| of(row.from, row.below);
        let by_group: Vec<Vec<u64>> = self.groups.iter().map(|g| of_row(&self.band_row(g, None))).collect();
        let bands: Vec<BandRow> = merged(&by_group, min_cell)
            .iter()
            .map(|run| self.band_row(&(self.groups[run.start].start..self.groups[run.end - 1].end), None))
            .collect();
        let ends = |run: &Range<usize>| (self.edges[run.start], self.edges[run.end]);
        let by_cell: Vec<Vec<u64>> = self.cells.iter().map(|run| of(ends(run).0, ends(run).1)).collect();
        let within = |row: &BandRow| {
            let place = |score: i64| self.cells.partition_point(|run| ends(run).0 < score);
            place(row.from)..place(row.below)
        };
        let cells = merged_within(&by_cell, &bands.iter().map(within).collect::<Vec<_>>(), min_cell);
        let cell = |run: &Range<usize>| {
            let (from, below) = (ends(&self.cells[run.start]).0, ends(&self.cells[run.end - 1]).1);
            (from, below, sum(&by_cell, run.clone()))
        };
        Breakdown {
            cells: cells.iter().map(cell).collect(),
            bands: bands.into_iter().map(|row| (of_row(&row), row)).map(|(counts, row)| (row, counts)).collect(),
        }
    }
}

/// A breakdown of the subjects along the scale.
#[derive(Debug, Clone)]
pub struct Breakdown {
    /// By bands.
    pub bands: Vec<(BandRow, Vec<u64>)>,
    /// By cells: from, below, and the counts.
    pub cells: Vec<(i64, i64, Vec<u64>)>,
}
