//! The rows of a release: what a partner is told of each subject that agrees, by pseudonym. All of them are in memory at once to be put
//! in order, so each is small.

use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use rayon::prelude::*;

use crate::ingest::settle::release::Releasable;
use crate::pipeline::partners::{Partner, Told};
use crate::runs::folder::RunFolder;
use crate::runs::ledger::place::SCORES;
use crate::runs::releases::Above;
use crate::runs::releases::counts::Reasons;
use crate::runs::releases::keys::Keys;
use crate::tables::ids::{IdForm, Ids, id_text, push};
use crate::tables::release::Row;
use crate::tables::{columns, read, scores};

/// From whom and to whom.
pub(super) struct Source<'a> {
    /// The partner.
    pub partner: &'a Partner,
    /// Its keys.
    pub keys: &'a Keys,
    /// Who agrees.
    pub agreed: &'a Releasable,
    /// The run.
    pub run: &'a RunFolder,
    /// Set when a signal asks to stop.
    pub stop: &'a AtomicBool,
}

/// What is told.
#[derive(Default)]
pub(super) struct Rows {
    /// By pseudonym, in order.
    pub rows: Vec<Row>,
    /// The bands that rows number.
    pub bands: Vec<String>,
    /// How many are told, how many are not and why.
    pub reasons: Reasons,
}

impl Rows {
    /// The number of a band.
    fn band(&mut self, name: &str) -> Result<u16> {
        let known = self.bands.iter().position(|band| band == name);
        let at = known.unwrap_or(self.bands.len());
        if known.is_none() {
            self.bands.push(name.to_owned());
        }
        u16::try_from(at).context("a model has no such number of bands")
    }
}

impl Source<'_> {
    /// What is told of a run's subjects.
    ///
    /// # Errors
    /// When the run's table is damaged or writes subjects otherwise than the consents do, or the work is interrupted.
    pub(super) fn rows(&self, above: Option<&Above>) -> Result<Rows> {
        let told = self.partner.told();
        let tells = |column: Told| told.contains(&column);
        let wanted = [scores::SUBJECT_ID, scores::SCORE, scores::BAND, scores::PERCENTILE];
        let mut all = Rows::default();
        for batch in read::batches(&self.run.path(SCORES), Some(&wanted))? {
            crate::exit::check(self.stop)?;
            let batch = batch.with_context(|| format!("{} is damaged", self.run.path(SCORES).display()))?;
            let mut ids = Ids::default();
            let form = push(columns::named(&batch, scores::SUBJECT_ID)?, &mut ids)?;
            self.alike(form)?;
            let (points, bands) = (columns::shorts(&batch, scores::SCORE)?, columns::texts(&batch, scores::BAND)?);
            let percentiles = columns::shorts(&batch, scores::PERCENTILE)?;
            for (at, (score, percentile)) in points.iter().zip(&percentiles).enumerate() {
                let Some(score) = *score else {
                    all.reasons.no_score += 1;
                    continue;
                };
                match self.agreed.of(ids.get(at)) {
                    None => all.reasons.no_consent += 1,
                    Some(false) => all.reasons.consent_ended += 1,
                    Some(true) => {
                        all.reasons.released += 1;
                        let band = if tells(Told::Band) { Some(all.band(bands.value(at))?) } else { None };
                        all.rows.push(Row {
                            name: self.keys.now(&id_text(ids.get(at), form)).context("defect: no key")?,
                            above: above.map(|a| i64::from(score) >= a.from),
                            band,
                            score: tells(Told::Score).then_some(score),
                            percentile: if tells(Told::Percentile) { *percentile } else { None },
                        });
                    }
                }
            }
        }
        all.rows.par_sort_unstable_by_key(|row| row.name);
        ensure!(
            all.rows.windows(2).all(|pair| pair[0].name != pair[1].name),
            "defect: two subjects have one pseudonym"
        );
        Ok(all)
    }

    /// Refuses consents that write subjects otherwise than the run did: nobody would be found.
    fn alike(&self, form: IdForm) -> Result<()> {
        ensure!(
            self.agreed.form.is_none_or(|consents| consents == form),
            "the consents write subject ids otherwise than the run {}; cast them in the input's `select`",
            self.run.id
        );
        Ok(())
    }
}
