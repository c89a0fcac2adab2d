//! Charts as inline SVG. Colours are the page's: each one drawn here is a name that the style sheet gives a value in light and in
//! dark.

use std::ops::Range;

use anyhow::{Result, anyhow};
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

// Drawn large, so that whole pixels are fine enough; the page shows them at half the size.
const WIDTH: u32 = 920;
const HEIGHT: u32 = 520;
pub(super) const FONT: i32 = 31;

pub(super) const SERIES: RGBColor = RGBColor(0x10, 0x00, 0x01);
pub(super) const BEHIND: RGBColor = RGBColor(0x10, 0x00, 0x02);
pub(super) const BAD: RGBColor = RGBColor(0x10, 0x00, 0x03);
const GRID: RGBColor = RGBColor(0x10, 0x00, 0x04);
pub(super) const TEXT: RGBColor = RGBColor(0x10, 0x00, 0x05);

/// A named axis.
#[derive(Clone, Copy)]
pub(super) struct Axis<'a> {
    /// What it measures, with its unit.
    pub title: &'a str,
    /// How its numbers are written.
    pub write: fn(f64) -> String,
}

/// The scale along a chart. Where places have names, these stand below it, and no numbers.
pub(super) struct Along {
    scale: RangedCoordf64,
    names: Option<Vec<(f64, String)>>,
    /// Room to the right, for names that reach beyond the last place.
    margin: u32,
}

impl Along {
    /// With numbers.
    pub(super) fn numbers(range: Range<f64>) -> Self {
        Self { scale: range.into(), names: None, margin: 26 }
    }

    /// With the names of places.
    pub(super) fn places(range: Range<f64>, names: Vec<(f64, String)>, margin: u32) -> Self {
        Self { scale: range.into(), names: Some(names), margin }
    }
}

impl Ranged for Along {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.scale.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        match &self.names {
            Some(names) => names.iter().map(|(place, _)| *place).collect(),
            None => self.scale.key_points(hint),
        }
    }

    fn range(&self) -> Range<f64> {
        self.scale.range()
    }
}

/// A bar from one number to another; nothing where its height is not told.
pub(super) type Bar = (f64, f64, Option<f64>);

/// A histogram, another one behind it, and marks along the axis.
pub(super) struct Histogram<'a> {
    /// The bars.
    pub bars: &'a [Bar],
    /// Drawn as an outline behind them.
    pub behind: &'a [Bar],
    /// Where lines stand, and what they are called.
    pub marks: &'a [(f64, String)],
    /// What is counted.
    pub x: Axis<'a>,
    /// How often.
    pub y: Axis<'a>,
}

/// A line through points.
pub(super) struct Line {
    /// The points.
    pub points: Vec<(f64, f64)>,
    /// Whether it is there to compare with.
    pub behind: bool,
}

/// A value with its interval, and one to compare it with.
pub(super) struct Interval {
    /// What it is of.
    pub name: String,
    /// The value.
    pub value: f64,
    /// Its interval.
    pub range: Range<f64>,
    /// What was expected.
    pub expected: Option<f64>,
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("drawing a chart: {error}")
}

/// Runs a drawing on an empty chart with axes.
pub(super) fn chart(
    x: Along,
    y: Range<f64>,
    axes: (Axis, Axis),
    draw: impl Fn(&mut Drawing) -> std::result::Result<(), String>,
) -> Result<String> {
    let mut svg = String::new();
    let names = x.names.clone();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin_top(76)
            .margin_right(x.margin)
            .margin_left(6)
            .x_label_area_size(92)
            .y_label_area_size(112)
            .build_cartesian_2d(x, y)
            .map_err(failed)?;
        let style = ("sans-serif", FONT).into_font().color(&TEXT);
        let (write_x, write_y) = (axes.0.write, axes.1.write);
        let x_label = |v: &f64| match &names {
            None => write_x(*v),
            Some(names) => {
                names.iter().find(|(place, _)| place == v).map_or_else(String::new, |(_, name)| name.clone())
            }
        };
        let y_label = |v: &f64| write_y(*v);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .label_style(style.clone())
            .axis_desc_style(style)
            .x_labels(7)
            .y_labels(5)
            .x_desc(axes.0.title)
            .y_desc(axes.1.title)
            .x_label_formatter(&x_label)
            .y_label_formatter(&y_label)
            .draw()
            .map_err(failed)?;
        draw(&mut chart).map_err(failed)?;
        root.present().map_err(failed)?;
    }
    Ok(inline(&svg, &format!("{} by {}", axes.1.title, axes.0.title)))
}

/// A chart with its axes, to be drawn on.
pub(super) type Drawing<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Along, RangedCoordf64>>;

/// The drawing without its fixed size, with words for those who do not see it.
fn inline(svg: &str, label: &str) -> String {
    // Inside a page the name space goes without saying.
    let svg = svg.replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1);
    let start = svg.find("viewBox").unwrap_or(0);
    let label = label.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    format!("<svg role=\"img\" aria-label=\"{label}\" {}", svg.get(start..).unwrap_or_default())
}

impl Histogram<'_> {
    /// Draws it.
    ///
    /// # Errors
    /// When the library cannot.
    pub(super) fn draw(&self) -> Result<String> {
        let all = || self.bars.iter().chain(self.behind);
        let from = all().map(|b| b.0).fold(f64::INFINITY, f64::min);
        let to = all().map(|b| b.1).fold(f64::NEG_INFINITY, f64::max);
        let top = all().filter_map(|b| b.2).fold(0.0, f64::max);
        if from >= to || top <= 0.0 {
            return Ok(String::new());
        }
        let top = top * 1.1;
        chart(Along::numbers(from..to), 0.0..top, (self.x, self.y), |chart| {
            let bars = self.bars.iter().filter_map(|(a, b, h)| Some((*a, *b, (*h)?)));
            let bars = bars.map(|(a, b, h)| Rectangle::new([(a, 0.0), (b, h)], SERIES.filled()));
            chart.draw_series(bars).map_err(|e| e.to_string())?;
            let mut outline = Vec::new();
            for (a, b, h) in self.behind {
                outline.extend([(*a, h.unwrap_or(0.0)), (*b, h.unwrap_or(0.0))]);
            }
            if !outline.is_empty() {
                chart.draw_series([PathElement::new(outline, BEHIND.stroke_width(4))]).map_err(|e| e.to_string())?;
            }
            let hidden = self.bars.iter().filter(|b| b.2.is_none());
            let hidden = hidden.map(|(a, b, _)| Rectangle::new([(*a, 0.0), (*b, top / 60.0)], BAD.filled()));
            chart.draw_series(hidden).map_err(|e| e.to_string())?;
            for (n, (at, name)) in self.marks.iter().enumerate() {
                let line = PathElement::new(vec![(*at, 0.0), (*at, top)], GRID.stroke_width(3));
                chart.draw_series([line]).map_err(|e| e.to_string())?;
                let style = ("sans-serif", FONT - 4).into_font().color(&TEXT).pos(Pos::new(HPos::Left, VPos::Bottom));
                // Neighbours stand on two levels, so that their names do not run into each other.
                let up = if n % 2 == 0 { 0 } else { FONT };
                let text = EmptyElement::at((*at, top)) + Text::new(name.clone(), (0, -4 - up), style);
                chart.draw_series([text]).map_err(|e| e.to_string())?;
            }
            Ok(())
        })
    }
}

/// Lines in one frame.
///
/// # Errors
/// When the library cannot.
pub(super) fn lines(lines: &[Line], x: Axis, y: Axis) -> Result<String> {
    let points = || lines.iter().flat_map(|l| l.points.iter());
    let ends = |of: &dyn Fn(&(f64, f64)) -> f64| {
        let (low, high) =
            (points().map(of).fold(f64::INFINITY, f64::min), points().map(of).fold(f64::NEG_INFINITY, f64::max));
        low..(if high > low { high } else { low + 1.0 })
    };
    if points().next().is_none() {
        return Ok(String::new());
    }
    chart(Along::numbers(ends(&|p| p.0)), ends(&|p| p.1), (x, y), |chart| {
        for line in lines.iter().filter(|l| l.behind).chain(lines.iter().filter(|l| !l.behind)) {
            let style = if line.behind { BEHIND.stroke_width(4) } else { SERIES.stroke_width(6) };
            chart.draw_series([PathElement::new(line.points.clone(), style)]).map_err(|e| e.to_string())?;
        }
        Ok(())
    })
}

/// Values with their intervals side by side.
///
/// # Errors
/// When the library cannot.
pub(super) fn intervals(intervals: &[Interval], x: &str, y: Axis) -> Result<String> {
    if intervals.is_empty() {
        return Ok(String::new());
    }
    let top = intervals.iter().map(|i| i.range.end.max(i.expected.unwrap_or(0.0))).fold(0.0, f64::max) * 1.1;
    let names = (0_u32..).zip(intervals).map(|(n, i)| (f64::from(n) + 0.5, i.name.clone())).collect();
    let along = Along::places(0.0..intervals.len() as f64, names, 26);
    let x = Axis { title: x, write: |_| String::new() };
    chart(along, 0.0..top, (x, y), |chart| {
        let mut middle = 0.5;
        for i in intervals {
            let bar = Rectangle::new([(middle - 0.3, 0.0), (middle + 0.3, i.value)], SERIES.filled());
            let whisker = PathElement::new(vec![(middle, i.range.start), (middle, i.range.end)], TEXT.stroke_width(4));
            chart.draw_series([bar]).map_err(|e| e.to_string())?;
            chart.draw_series([whisker]).map_err(|e| e.to_string())?;
            if let Some(expected) = i.expected {
                let mark =
                    PathElement::new(vec![(middle - 0.38, expected), (middle + 0.38, expected)], BAD.stroke_width(6));
                chart.draw_series([mark]).map_err(|e| e.to_string())?;
            }
            middle += 1.0;
        }
        Ok(())
    })
}

/// A row of bars without axes, as high as their part of the highest.
///
/// # Errors
/// When the library cannot.
pub(super) fn spark(heights: &[Option<f64>], label: &str) -> Result<String> {
    let top = heights.iter().flatten().copied().fold(0.0, f64::max).max(1e-9);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (240, 48)).into_drawing_area();
        let width = 240 / i32::try_from(heights.len().max(1))?;
        let mut left = 0;
        for height in heights {
            let (size, color) = match height {
                Some(h) => (44.0 * h / top, SERIES),
                None => (3.0, BAD),
            };
            #[allow(clippy::cast_possible_truncation, reason = "at most 44 pixels")]
            let up = (size.round() as i32).max(1);
            root.draw(&Rectangle::new([(left + 1, 48 - up), (left + width - 1, 48)], color.filled()))
                .map_err(failed)?;
            left += width;
        }
        root.present().map_err(failed)?;
    }
    Ok(inline(&svg, label))
}
