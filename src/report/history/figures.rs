//! What the audit of a published table tells, as far as it is laid beside others.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use crate::audit::Audit;
use crate::audit::drift::Earlier;
use crate::audit::quality::Quality;
use crate::audit::scale::BandRow;
use crate::disclosure::DECIMALS;
use crate::gates::counts::Shift;
use crate::runs::earlier::quarantined;
use crate::statistics::proportion::rounded;

/// Figures of one as-of date and model; what the audit hides is null.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Visible subjects.
    pub subjects: Option<u64>,
    /// Those with a score.
    pub scored: Option<u64>,
    /// Their share of all subjects.
    pub scored_share: Option<f64>,
    /// Their mean score.
    pub mean: Option<f64>,
    /// Quantiles of their scores by name, in points.
    pub quantiles: BTreeMap<String, Option<i64>>,
    /// Scored subjects by band.
    pub bands: Vec<BandRow>,
    /// The published run that this one was compared with.
    pub previous: Option<Earlier>,
    /// How far scores moved since that run.
    pub psi_previous: Option<Shift>,
    /// How far scores moved since the first date, over cells of the histograms that both audits show.
    pub psi_first: Option<Shift>,
    /// How well scores rank outcomes, the horizon with most of them first; none without outcomes.
    pub auc: Vec<Area>,
    /// Rows by table.
    pub tables: BTreeMap<String, Rows>,
    /// Seconds that the run took, until its audit was made.
    pub seconds: f64,
}

/// The area under the ROC curve over outcomes of one horizon.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Area {
    /// Days over which outcomes were observed.
    pub horizon_days: i64,
    /// The area.
    pub auc: f64,
    /// Lower end of its 95 % interval.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
}

/// Rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rows {
    /// All that were read.
    pub rows: u64,
    /// Those that were visible at the date.
    pub visible: u64,
    /// Those of them that were quarantined.
    pub quarantined: u64,
    /// Their share of the visible ones.
    pub quarantined_share: f64,
}

/// Decimals of a share of rows: of millions, a few are worth seeing.
const OF_ROWS: i32 = 6;

/// A part of a whole, 0 of nothing.
pub(super) fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

impl Figures {
    /// What an audit tells. How far scores moved since the first date it does not know.
    ///
    /// # Errors
    /// When the audit does not count all classes of rows.
    pub(super) fn of(audit: &Audit) -> Result<Self> {
        let (subjects, scored) = (audit.coverage.subjects, audit.coverage.scored);
        let rows = |(table, (held, visible)): (String, (u64, u64))| {
            let rows = audit.conservation.get(&table).map_or(0, |rows| rows.counts.rows);
            let quarantined_share = rounded(share(held, visible), OF_ROWS);
            (table, Rows { rows, visible, quarantined: held, quarantined_share })
        };
        let area = |of: &Quality| Area {
            horizon_days: of.horizon_days,
            auc: of.ranking.auc,
            low: of.ranking.auc_low,
            high: of.ranking.auc_high,
        };
        let horizons = audit.quality.iter().flat_map(|q| std::iter::once(&q.main).chain(&q.other_horizons));
        Ok(Self {
            subjects: Some(subjects),
            scored,
            scored_share: scored.filter(|_| subjects > 0).map(|scored| rounded(share(scored, subjects), DECIMALS)),
            mean: audit.scores.mean,
            quantiles: audit.scores.quantiles.clone(),
            bands: audit.scores.bands.clone(),
            previous: audit.drift.as_ref().map(|drift| drift.previous.clone()),
            psi_previous: audit.drift.as_ref().and_then(|drift| drift.score),
            psi_first: None,
            auc: horizons.map(area).collect(),
            tables: quarantined(audit)?.into_iter().map(rows).collect(),
            seconds: audit.timings.seconds,
        })
    }

    /// Hides what is said of subjects.
    pub(super) fn hide_subjects(&mut self) {
        (self.subjects, self.scored, self.scored_share, self.mean) = (None, None, None, None);
        self.quantiles.values_mut().for_each(|quantile| *quantile = None);
        self.bands.iter_mut().for_each(|band| band.subjects = None);
        (self.psi_previous, self.psi_first) = (None, None);
        self.auc.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nobody() -> Audit {
        serde_json::from_str(include_str!("../../../tests/files/audit_of_nobody.json")).unwrap()
    }

    #[test]
    fn what_an_audit_hides_stays_hidden() {
        let mut audit = nobody();
        (audit.coverage.subjects, audit.coverage.scored) = (100, None);
        audit.scores.mean = None;
        audit.scores.quantiles.insert("p50".to_owned(), Some(600));
        audit.scores.bands =
            vec![BandRow { bands: vec!["good".to_owned()], from: 600, below: 650, subjects: Some(75) }];
        let figures = Figures::of(&audit).unwrap();
        assert_eq!(
            (figures.subjects, figures.scored, figures.scored_share, figures.mean),
            (Some(100), None, None, None)
        );
        audit.coverage.scored = Some(75);
        let mut figures = Figures::of(&audit).unwrap();
        assert_eq!((figures.scored_share, figures.auc.len()), (Some(0.75), 0));
        figures.hide_subjects();
        assert_eq!((figures.subjects, figures.scored, figures.scored_share), (None, None, None));
        assert!(figures.bands.iter().all(|band| band.subjects.is_none()));
        assert!(figures.quantiles.values().all(Option::is_none));
    }
}
