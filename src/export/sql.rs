//! A card as one SQL statement in whole numbers: the score and the points by category that a run gives, for DuckDB.
//!
//! Every bin gives a numerator; all are over one denominator, reduced by what divides them all. With n the sum of some numerators and
//! d the denominator, n − n mod d is a multiple of d, so dividing it is exact in engines that divide integers and in those that
//! divide doubles. Sums are raised by whole points until none is negative, because engines differ in how they divide below 0.

use super::card::{SegmentCard, SegmentFeature};
use crate::expression::decimal;
use crate::tables::features::none_column;
use crate::tables::scores::{SCORE, SUBJECT_ID, points};

/// The table or view that the statement reads: a name, or names with dots between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table(String);

impl Table {
    /// Takes a name apart.
    ///
    /// # Errors
    /// When it is more than a name.
    pub fn parse(name: &str) -> Result<Self, String> {
        let lawful = |part: &str| {
            !part.is_empty()
                && !part.starts_with(|c: char| c.is_ascii_digit())
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        match name.split('.').all(lawful) {
            true => Ok(Self(name.split('.').map(quoted).collect::<Vec<_>>().join("."))),
            false => {
                Err("name a table or view such as features or main.features; files can be read by a view".to_owned())
            }
        }
    }
}

/// A sum of numerators as SQL, and how far it reaches.
struct Sum {
    /// In words, for a remark.
    title: String,
    sql: String,
    least: i128,
    most: i128,
}

/// The card as SQL over a table with a column `subject_id` and those of the features.
#[must_use]
pub fn sql(card: &SegmentCard, table: &Table) -> String {
    let divisor =
        card.features.iter().flat_map(SegmentFeature::all).fold(divisor(card.denominator, card.initial), divisor);
    // The denominator is above 0, and so is what divides it.
    let statement = Statement {
        card,
        divisor,
        over: card.denominator / divisor,
        own: card.initial / divisor - i128::from(card.low) * (card.denominator / divisor),
        sums: Vec::new(),
        kind: "BIGINT",
    };
    statement.with_sums().text(table)
}

struct Statement<'a> {
    card: &'a SegmentCard,
    /// What divides every numerator and the denominator.
    divisor: i128,
    /// The denominator.
    over: i128,
    /// What everyone has above the lowest score.
    own: i128,
    /// One for each category.
    sums: Vec<Sum>,
    /// The type of numerators.
    kind: &'static str,
}

impl Statement<'_> {
    /// Writes the categories' sums, in a type that holds the largest of all numbers.
    fn with_sums(mut self) -> Self {
        for (category, title) in self.card.categories.iter().enumerate() {
            let ends: Vec<(i128, i128)> =
                self.card.features.iter().filter(|f| f.category == category).map(SegmentFeature::ends).collect();
            let least = ends.iter().map(|(least, _)| least / self.divisor).sum();
            let most = ends.iter().map(|(_, most)| most / self.divisor).sum();
            self.sums.push(Sum { title: title.clone(), sql: String::new(), least, most });
        }
        let most = self.own + self.raised_total() * self.over + self.sums.iter().map(|s| s.most.max(0)).sum::<i128>();
        let wide = std::iter::once(2 * self.over).chain([most]).chain(self.sums.iter().map(|s| self.raised(s)));
        if wide.max().is_some_and(|w| w > i128::from(i64::MAX)) {
            self.kind = "HUGEINT";
        }
        let sql: Vec<String> = (0..self.sums.len())
            .map(|category| {
                let features = self.card.features.iter().filter(|f| f.category == category);
                features.map(|f| self.case(f)).collect::<Vec<_>>().join("\n      + ")
            })
            .collect();
        self.sums.iter_mut().zip(sql).for_each(|(sum, sql)| sum.sql = sql);
        self
    }

    /// The largest that a category's sum gets when it is raised.
    fn raised(&self, sum: &Sum) -> i128 {
        sum.most + self.over * self.raise(sum.least)
    }

    /// By how many whole points a sum is raised that may be as low as this.
    fn raise(&self, least: i128) -> i128 {
        (-least.div_euclid(self.over)).max(0)
    }

    /// By how many whole points the sum of all is raised: an even number, so that halves go to the same side.
    fn raised_total(&self) -> i128 {
        let raise = self.raise(self.own + self.sums.iter().map(|s| s.least).sum::<i128>());
        raise + raise % 2
    }

    /// What a feature gives.
    fn case(&self, feature: &SegmentFeature) -> String {
        let name = quoted(&feature.name);
        let gives = |numerator: i128| numerator / self.divisor;
        let mut arms = Vec::new();
        if feature.tells_none() {
            let flag = quoted(&none_column(&feature.name));
            arms.push(format!("WHEN {name} IS NULL AND {flag} THEN {}", gives(feature.none)));
        }
        arms.push(format!("WHEN {name} IS NULL THEN {}", gives(feature.unknown)));
        for (edge, bin) in feature.edges.iter().zip(&feature.bins) {
            arms.push(format!("WHEN {name} < {} THEN {}", decimal(*edge), gives(*bin)));
        }
        let last = gives(feature.bins.last().copied().unwrap_or(feature.unknown));
        format!("CAST(CASE {} ELSE {last} END AS {})", arms.join(" "), self.kind)
    }

    fn text(&self, table: &Table) -> String {
        let (over, low, kind) = (self.over, self.card.low, self.kind);
        let raised = self.raised_total();
        let parts = self.sums.len();
        let all = |one: &dyn Fn(usize) -> String| (1..=parts).map(one).collect::<Vec<_>>();
        let list = |columns: Vec<String>| columns.join(",\n    ");
        let mut values = vec![SUBJECT_ID.to_owned()];
        for feature in &self.card.features {
            let name = quoted(&feature.name);
            values.push(format!(
                "CASE WHEN isnan(CAST({name} AS DOUBLE)) THEN NULL ELSE CAST({name} AS DOUBLE) END AS {name}"
            ));
            if feature.tells_none() {
                let flag = quoted(&none_column(&feature.name));
                values.push(format!("CAST({flag} AS BOOLEAN) AS {flag}"));
            }
        }
        let sums = self.sums.iter().zip(1..).map(|(s, n)| {
            let title = one_line(&s.title);
            format!("-- {title}\n    {} AS n_{n}", s.sql)
        });
        let rests = self.sums.iter().zip(1..).map(|(s, n)| {
            let sum = plus(&format!("n_{n}"), self.raise(s.least) * over);
            format!("{sum} AS s_{n},\n    ({sum}) % {over} AS r_{n}")
        });
        let wholes = self.sums.iter().zip(1..).map(|(s, n)| {
            let whole = format!("CAST((s_{n} - r_{n}) / {over} AS BIGINT)");
            format!("r_{n},\n    {} AS w_{n}", plus(&whole, -self.raise(s.least)))
        });
        let (own_whole, own_rest) = (self.own.div_euclid(over), self.own.rem_euclid(over));
        let total: Vec<String> = std::iter::once(format!("CAST({} AS {kind})", self.own + raised * over))
            .chain(all(&|n| format!("n_{n}")))
            .collect();
        let given = std::iter::once(own_whole.to_string()).chain(all(&|n| format!("w_{n}"))).collect::<Vec<_>>();
        // What is left goes to the largest rests; of rests alike to the earlier category, and last to what everyone has.
        let rest = |n: usize| if n > parts { own_rest.to_string() } else { format!("r_{n}") };
        let more = |n: usize| {
            let before = (1..=parts + 1).filter(|other| *other != n).map(|other| {
                let sign = if other < n { ">=" } else { ">" };
                format!("CASE WHEN {} {sign} {} THEN 1 ELSE 0 END", rest(other), rest(n))
            });
            let before: Vec<String> = std::iter::once("0".to_owned()).chain(before).collect();
            format!("CASE WHEN {} < left_over THEN 1 ELSE 0 END", before.join(" + "))
        };
        let by_category = self.sums.iter().zip(1..).map(|(s, n)| {
            let name = quoted(&points(&s.title));
            format!("w_{n} + {} AS {name}", more(n))
        });
        let remarks = self.card.remarks().into_iter().chain([format!(
            "numerators are over {over}; base and the points add up to the score, which is rounded once, halves to even"
        )]);
        let remarks: String = remarks.map(|remark| format!("-- {}\n", one_line(&remark))).collect();
        let columns = |of: Vec<String>| list(std::iter::once(SUBJECT_ID.to_owned()).chain(of).collect());
        format!(
            "{remarks}WITH sesame_values AS (
  SELECT
    {values}
  FROM {table}
),
sesame_sums AS (
  SELECT
    {sums}
  FROM sesame_values
),
sesame_rests AS (
  SELECT
    {rests}
  FROM sesame_sums
),
sesame_wholes AS (
  SELECT
    {wholes}
  FROM sesame_rests
),
sesame_scores AS (
  SELECT
    {scores}
  FROM sesame_wholes
),
sesame_shares AS (
  SELECT
    {shares}
  FROM sesame_scores
)
SELECT
    {points}
FROM sesame_shares
",
            values = list(values),
            table = table.0,
            sums = columns(sums.collect()),
            rests = columns(rests.chain([format!("{} AS total", total.join(" + "))]).collect()),
            wholes = columns(
                wholes
                    .chain([
                        format!("total % {over} AS rest"),
                        format!("CAST((total - total % {over}) / {over} AS BIGINT) AS whole")
                    ])
                    .collect()
            ),
            scores = columns(
                all(&|n| format!("r_{n}, w_{n}"))
                    .into_iter()
                    .chain([format!(
                        "{} + CASE WHEN 2 * rest > {over} OR (2 * rest = {over} AND whole % 2 = 1) THEN 1 ELSE 0 END AS above",
                        plus("whole", -raised)
                    )])
                    .collect()
            ),
            shares = columns(
                all(&|n| format!("r_{n}, w_{n}"))
                    .into_iter()
                    .chain(["above".to_owned(), format!("above - ({}) AS left_over", given.join(" + "))])
                    .collect()
            ),
            points = columns(
                std::iter::once(format!("{} + {} AS base", i128::from(low) + own_whole, more(parts + 1)))
                    .chain(by_category)
                    .chain([format!("{} AS {SCORE}", plus("above", i128::from(low)))])
                    .collect()
            ),
        )
    }
}

/// A sum of an expression and a number.
fn plus(sql: &str, number: i128) -> String {
    match number {
        0 => sql.to_owned(),
        less if less < 0 => format!("{sql} - {}", -less),
        more => format!("{sql} + {more}"),
    }
}

/// A name as SQL writes any name.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text that ends no remark.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The greatest common divisor; that of 0 and a number is the number.
fn divisor(a: i128, b: i128) -> i128 {
    let (mut a, mut b) = (a.abs(), b.abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(denominator: i128, bins: [i128; 2]) -> SegmentCard {
        let feature = SegmentFeature {
            name: "f".to_owned(),
            category: 0,
            reason: None,
            edges: vec![0.5],
            bins: bins.to_vec(),
            none: 0,
            unknown: 2 * denominator,
        };
        SegmentCard {
            model: "m-1".to_owned(),
            hash: "0".to_owned(),
            segment: "all\n; DROP TABLE x".to_owned(),
            currency: "EUR".to_owned(),
            low: 301,
            denominator,
            initial: 302 * denominator,
            categories: vec!["c".to_owned()],
            features: vec![feature],
            friends: Vec::new(),
        }
    }

    fn written(card: &SegmentCard) -> String {
        sql(card, &Table::parse("a.b_2").unwrap())
    }

    #[test]
    fn a_table_is_a_name_and_nothing_else() {
        assert_eq!(Table::parse("a.b_2"), Ok(Table("\"a\".\"b_2\"".to_owned())));
        for name in ["", "a.", "2a", "a b", "a;b", "read_parquet('x')", "\"a\""] {
            assert!(Table::parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn numerators_are_reduced_and_sums_are_never_negative() {
        // In quarters: all can be −9 + 4, so it is raised by two points, and the category by three.
        let text = written(&card(40, [-90, 30]));
        let case = "CASE WHEN \"f\" IS NULL AND \"f__none\" THEN 0 WHEN \"f\" IS NULL THEN 8 WHEN \"f\" < 5.0E-1 THEN -9 ELSE 3 END";
        for part in [
            case,
            "CAST(12 AS BIGINT) + n_1 AS total",
            "n_1 + 12 AS s_1",
            "above + 301 AS score",
            "FROM \"a\".\"b_2\"\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(text.lines().filter(|l| l.contains("DROP TABLE")).all(|l| l.starts_with("-- ")), "{text}");
    }

    #[test]
    fn numbers_beyond_64_bits_are_wide() {
        let wide = |denominator: i128| written(&card(denominator, [-1, 1])).contains("HUGEINT");
        assert!(!wide(1_000_000_007) && wide(5_000_000_000_000_000_003));
    }
}
