//! Charts over as-of dates: lines that end where nothing is told, areas and intervals between two values, stacks of
//! shares. Where something begins stands a line with its name.

use std::ops::Range;

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::chart::{Along, Axis, BAD, BEHIND, Drawing, FONT, SERIES, TEXT, chart};

/// Among so many dates each has a dot, and stacks stand apart.
pub(super) const FEW: usize = 60;
/// Room for half of the last date's name.
const MARGIN: u32 = 76;
/// About the width of a letter, as a part of the chart's.
const LETTER: f64 = 0.018;

/// The dates of a chart.
pub(super) struct Dates {
    /// Where they lie, in days, each once and in order.
    days: Vec<f64>,
    /// From before the first to after the last.
    range: Range<f64>,
    /// Those that are named.
    names: Vec<(f64, String)>,
    /// Where something begins, and what.
    marks: Vec<(f64, String)>,
    /// Days from one to the next, usually.
    usual: f64,
}

/// A line over dates; nothing where its value is not told.
pub(super) struct Curve {
    /// Its points.
    pub points: Vec<(f64, Option<f64>)>,
    /// Whether it is there to compare with.
    pub behind: bool,
}

/// What lies between two values over dates; nothing where they are not told.
pub(super) struct Between {
    /// The lower and the upper value.
    pub points: Vec<(f64, Option<(f64, f64)>)>,
    /// Whether it is there to compare with.
    pub behind: bool,
    /// How densely the area is filled; lines at the dates alone without it.
    pub filled: Option<f64>,
}

/// Values over dates.
pub(super) struct Dated<'a> {
    /// The dates.
    pub dates: &'a Dates,
    /// What lies behind the lines.
    pub between: Vec<Between>,
    /// The lines.
    pub curves: Vec<Curve>,
    /// The lowest and highest value that has room.
    pub range: Range<f64>,
    /// What is measured.
    pub y: Axis<'a>,
}

/// Shares of a whole on a date, one upon the other.
pub(super) struct Stack {
    /// The date.
    pub day: f64,
    /// Each share with its shade, from 0 to 1; nothing where they are hidden.
    pub shares: Option<Vec<(f64, f64)>>,
}

/// How densely a shade from 0 to 1 is drawn.
#[must_use]
pub(super) fn density(shade: f64) -> f64 {
    (100.0 * 0.82_f64.mul_add(shade, 0.18)).round() / 100.0
}

impl Dates {
    /// Dates in order, each once, and where something begins.
    pub(super) fn new(dates: &[(f64, String)], marks: Vec<(f64, String)>) -> Self {
        let days: Vec<f64> = dates.iter().map(|date| date.0).collect();
        let mut apart: Vec<f64> = days.windows(2).map(|d| d[1] - d[0]).collect();
        apart.sort_by(f64::total_cmp);
        let usual = apart.get(apart.len() / 2).copied().unwrap_or(1.0);
        let (first, last) = (days.first().copied().unwrap_or(0.0), days.last().copied().unwrap_or(0.0));
        // A single stack does not fill the chart.
        let room = if days.len() < 4 { usual } else { (usual / 2.0).max((last - first) / 60.0) };
        let range = first - room..last + room;
        let names = named(dates, (range.end - range.start) * 0.22);
        Self { days, range, names, marks, usual }
    }

    fn along(&self) -> Along {
        Along::places(self.range.clone(), self.names.clone(), MARGIN)
    }

    /// The room of a date: half way to its neighbours, and no more than dates usually have.
    fn slot(&self, day: f64) -> Range<f64> {
        let at = self.days.partition_point(|d| *d < day);
        let half = |gap: Option<f64>| gap.unwrap_or(self.usual).min(self.usual) / 2.0;
        let before = at.checked_sub(1).and_then(|n| self.days.get(n)).map(|d| day - d);
        let after = self.days.get(at + 1).map(|d| d - day);
        day - half(before)..day + half(after)
    }

    /// The filled part of a date's room.
    fn room(&self, day: f64, filled: f64) -> Range<f64> {
        let slot = self.slot(day);
        let free = (slot.end - slot.start) * (1.0 - filled) / 2.0;
        slot.start + free..slot.end - free
    }

    /// Draws where something begins. A name that has no room is left out.
    fn draw_marks(&self, chart: &mut Drawing, y: &Range<f64>) -> Result<(), String> {
        let wide = self.range.end - self.range.start;
        // Names stand on two levels, so that neighbours do not run into each other.
        let mut taken = [f64::NEG_INFINITY; 2];
        for (at, name) in &self.marks {
            let line = PathElement::new(vec![(*at, y.start), (*at, y.end)], TEXT.stroke_width(2));
            chart.draw_series([line]).map_err(|e| e.to_string())?;
            let long = name.chars().count() as f64 * LETTER * wide;
            let (from, side) = if at + long > self.range.end { (at - long, HPos::Right) } else { (*at, HPos::Left) };
            let Some(level) = taken.iter().position(|end| *end <= from) else { continue };
            taken[level] = from + long;
            let style = ("sans-serif", FONT - 4).into_font().color(&TEXT).pos(Pos::new(side, VPos::Bottom));
            let up = if level == 0 { 4 } else { 4 + FONT };
            let text = EmptyElement::at((*at, y.end)) + Text::new(name.clone(), (0, -up), style);
            chart.draw_series([text]).map_err(|e| e.to_string())?;
        }
        Ok(())
    }
}

/// The dates that are named: the first, the last, and others at least so far apart.
fn named(dates: &[(f64, String)], apart: f64) -> Vec<(f64, String)> {
    let Some((last, others)) = dates.split_last() else { return Vec::new() };
    let mut named: Vec<(f64, String)> = Vec::new();
    for date in others {
        let free = named.last().is_none_or(|before| date.0 - before.0 >= apart);
        if free && last.0 - date.0 >= apart {
            named.push(date.clone());
        }
    }
    named.push(last.clone());
    named
}

/// The runs of points that are told.
fn runs<T: Copy>(points: &[(f64, Option<T>)]) -> Vec<Vec<(f64, T)>> {
    let told = |run: &[(f64, Option<T>)]| run.iter().filter_map(|(x, value)| Some((*x, (*value)?))).collect();
    let runs: Vec<Vec<(f64, T)>> = points.split(|point| point.1.is_none()).map(told).collect();
    runs.into_iter().filter(|run| !run.is_empty()).collect()
}

/// A line from the lower value to the upper.
fn upright((x, (low, high)): (f64, (f64, f64)), style: ShapeStyle) -> PathElement<(f64, f64)> {
    PathElement::new(vec![(x, low), (x, high)], style)
}

impl Between {
    fn draw(&self, chart: &mut Drawing) -> Result<(), String> {
        let color = if self.behind { BEHIND } else { SERIES };
        for run in runs(&self.points) {
            match (self.filled, run.as_slice()) {
                (None, run) => {
                    let lines: Vec<_> = run.iter().map(|point| upright(*point, color.stroke_width(3))).collect();
                    chart.draw_series(lines).map_err(|e| e.to_string())?;
                }
                (Some(density), [point]) => {
                    let line = upright(*point, color.mix(density).stroke_width(16));
                    chart.draw_series([line]).map_err(|e| e.to_string())?;
                }
                (Some(density), run) => {
                    let low = run.iter().map(|(x, (low, _))| (*x, *low));
                    let high = run.iter().rev().map(|(x, (_, high))| (*x, *high));
                    let outline: Vec<(f64, f64)> = low.chain(high).collect();
                    let area = Polygon::new(outline, color.mix(density).filled());
                    chart.draw_series([area]).map_err(|e| e.to_string())?;
                }
            }
        }
        Ok(())
    }
}

impl Curve {
    fn draw(&self, chart: &mut Drawing) -> Result<(), String> {
        let (color, wide) = if self.behind { (BEHIND, 4) } else { (SERIES, 5) };
        let size: i32 = 7;
        for run in runs(&self.points) {
            if self.points.len() <= FEW || run.len() == 1 {
                let dots: Vec<_> = run.iter().map(|point| Circle::new(*point, size, color.filled())).collect();
                chart.draw_series(dots).map_err(|e| e.to_string())?;
            }
            if run.len() > 1 {
                chart.draw_series([PathElement::new(run, color.stroke_width(wide))]).map_err(|e| e.to_string())?;
            }
        }
        Ok(())
    }
}

impl Dated<'_> {
    /// Draws it; one of which nothing is told is empty.
    ///
    /// # Errors
    /// When the library cannot.
    pub(super) fn draw(&self) -> Result<String> {
        if !self.curves.iter().flat_map(|curve| &curve.points).any(|point| point.1.is_some()) {
            return Ok(String::new());
        }
        let x = Axis { title: "as-of date", write: |_| String::new() };
        chart(self.dates.along(), self.range.clone(), (x, self.y), |chart| {
            self.dates.draw_marks(chart, &self.range)?;
            self.between.iter().try_for_each(|between| between.draw(chart))?;
            let behind = self.curves.iter().filter(|curve| curve.behind);
            let before = self.curves.iter().filter(|curve| !curve.behind);
            behind.chain(before).try_for_each(|curve| curve.draw(chart))
        })
    }
}

impl Stack {
    fn shades(&self) -> Option<Vec<f64>> {
        Some(self.shares.as_ref()?.iter().map(|share| share.1).collect())
    }

    /// From where to where its n-th share reaches.
    fn reach(&self, n: usize) -> (f64, f64) {
        let shares = self.shares.as_deref().unwrap_or_default();
        let below: f64 = shares.iter().take(n).map(|share| share.0).sum();
        (below, below + shares.get(n).map_or(0.0, |share| share.0))
    }
}

/// Stacks of shares over dates; a stub stands for one that is hidden.
///
/// # Errors
/// When the library cannot.
pub(super) fn stacks(dates: &Dates, stacks: &[Stack], y: Axis) -> Result<String> {
    if stacks.iter().all(|stack| stack.shares.is_none()) {
        return Ok(String::new());
    }
    let x = Axis { title: "as-of date", write: |_| String::new() };
    let many = dates.days.len() > FEW;
    let filled = if many { 1.0 } else { 0.9 };
    // Neighbours that are alike are one area: side by side, thin ones would show seams.
    let alike =
        |a: &Stack, b: &Stack| many && dates.slot(b.day).start <= dates.slot(a.day).end && a.shades() == b.shades();
    chart(dates.along(), 0.0..1.0, (x, y), |chart| {
        for run in stacks.chunk_by(alike) {
            let rooms: Vec<Range<f64>> = run.iter().map(|stack| dates.room(stack.day, filled)).collect();
            let Some(shades) = run.first().and_then(Stack::shades) else {
                let stub =
                    |room: &Range<f64>| Rectangle::new([(room.start, 0.0), (room.end, 1.0 / 60.0)], BAD.filled());
                let stubs: Vec<_> = rooms.iter().map(stub).collect();
                chart.draw_series(stubs).map_err(|e| e.to_string())?;
                continue;
            };
            for (n, shade) in shades.iter().enumerate() {
                let (mut outline, mut below) = (Vec::new(), Vec::new());
                for (stack, room) in run.iter().zip(&rooms) {
                    let (low, high) = stack.reach(n);
                    outline.extend([(room.start, high), (room.end, high)]);
                    below.extend([(room.start, low), (room.end, low)]);
                }
                outline.extend(below.into_iter().rev());
                let area = Polygon::new(outline, SERIES.mix(density(*shade)).filled());
                chart.draw_series([area]).map_err(|e| e.to_string())?;
            }
        }
        dates.draw_marks(chart, &(0.0..1.0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dates(days: &[u32]) -> Vec<(f64, String)> {
        days.iter().map(|day| (f64::from(*day), format!("day {day}"))).collect()
    }

    #[test]
    fn few_dates_are_named_and_always_the_first_and_the_last() {
        let year: Vec<u32> = (0..370).collect();
        for days in [&[3][..], &[3, 33], &[0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334], &year[..]] {
            let all = dates(days);
            let named = Dates::new(&all, Vec::new()).names;
            assert!((1..=5).contains(&named.len()), "{named:?}");
            assert_eq!((named.first(), named.last()), (all.first(), all.last()));
        }
    }

    #[test]
    fn rooms_of_dates_do_not_overlap() {
        let all = dates(&[0, 31, 32, 59, 90]);
        let dates = Dates::new(&all, Vec::new());
        let slots: Vec<Range<f64>> = all.iter().map(|date| dates.slot(date.0)).collect();
        assert!(slots.iter().zip(&all).all(|(slot, date)| slot.contains(&date.0)));
        assert!(slots.windows(2).all(|s| s[0].end <= s[1].start));
        assert!(slots[0].start >= dates.range.start && slots[4].end <= dates.range.end);
    }

    #[test]
    fn a_line_ends_where_nothing_is_told() {
        let points = [(0.0, Some(1)), (1.0, Some(2)), (2.0, None), (3.0, None), (4.0, Some(5))];
        assert_eq!(runs(&points), [vec![(0.0, 1), (1.0, 2)], vec![(4.0, 5)]]);
        assert!(runs::<i32>(&[(0.0, None)]).is_empty());
    }

    #[test]
    fn one_date_and_many_are_drawn() {
        for many in [1_u32, 2, 12, 370] {
            let all = dates(&(0..many).collect::<Vec<_>>());
            let dates =
                Dates::new(&all, vec![(0.0, "model-1".to_owned()), (f64::from(many / 2), "model-2".to_owned())]);
            let y = Axis { title: "value", write: |v| format!("{v:.1}") };
            let points = all.iter().map(|date| (date.0, Some(date.0))).collect();
            let between = all.iter().map(|date| (date.0, Some((date.0 - 1.0, date.0 + 1.0)))).collect();
            let drawn = Dated {
                dates: &dates,
                between: vec![Between { points: between, behind: false, filled: Some(0.2) }],
                curves: vec![Curve { points, behind: false }],
                range: -1.0..f64::from(many),
                y,
            };
            let svg = drawn.draw().unwrap();
            assert!(svg.contains("aria-label=\"value by as-of date\"") && svg.contains("day 0"));
            assert!(svg.contains("model-1") && svg.len() < 60_000, "{} bytes", svg.len());
            let stack = |day: f64| Stack { day, shares: Some(vec![(0.4, 0.0), (0.6, 1.0)]) };
            let hidden = Stack { day: 0.0, shares: None };
            let drawn: Vec<Stack> = all.iter().map(|date| stack(date.0)).chain([hidden]).collect();
            let svg = stacks(&dates, &drawn, y).unwrap();
            // Many that are alike are one area for each share.
            let areas = if all.len() > FEW { 2 } else { 2 * all.len() };
            assert_eq!((svg.matches("<polygon").count(), svg.matches("<rect").count()), (areas, 1));
        }
    }
}
