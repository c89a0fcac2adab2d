//! What a run's table says of every subject.

use anyhow::{Context, Result};

use crate::audit::scale::ScoreScale;
use crate::ingest::spine::Spine;
use crate::pipeline::model::CATEGORIES;
use crate::runs::kept::KeptRun;
use crate::score::rows::NONE;
use crate::tables::ids::{self, IdForm, Ids};
use crate::tables::{columns, read, scores};

/// The rows of a table, column by column.
pub struct ScoredTable {
    /// The subjects, in order.
    pub ids: Ids,
    form: IdForm,
    /// Their scores, or none.
    pub scores: Vec<i16>,
    /// Their segments, by position in the model file.
    pub segments: Vec<u8>,
    points: Vec<Vec<i16>>,
}

impl ScoredTable {
    /// Reads a run's table.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn read(run: &KeptRun) -> Result<Self> {
        let points: Vec<String> = CATEGORIES.iter().map(|c| scores::points(c)).collect();
        let mut wanted = vec![scores::SUBJECT_ID, scores::SEGMENT, scores::SCORE];
        wanted.extend(points.iter().map(String::as_str));
        let names: Vec<&str> = run.model.card.segment.iter().map(|s| s.get_ref().name.as_str()).collect();
        let mut table = Self {
            ids: Ids::default(),
            form: IdForm::Text,
            scores: Vec::new(),
            segments: Vec::new(),
            points: vec![Vec::new(); CATEGORIES.len()],
        };
        for batch in read::batches(&run.scores(), Some(&wanted))? {
            let batch = batch?;
            table.form = ids::push(columns::named(&batch, scores::SUBJECT_ID)?, &mut table.ids)?;
            let shorts = |name: &str| anyhow::Ok(columns::shorts(&batch, name)?.into_iter().map(|v| v.unwrap_or(NONE)));
            table.scores.extend(shorts(scores::SCORE)?);
            for (all, name) in table.points.iter_mut().zip(&points) {
                all.extend(shorts(name)?);
            }
            for segment in &columns::texts(&batch, scores::SEGMENT)? {
                let at = names.iter().position(|n| Some(*n) == segment).context("a segment the model does not have")?;
                table.segments.push(u8::try_from(at)?);
            }
        }
        Ok(table)
    }

    /// The subjects as the ingest looks them up.
    ///
    /// # Errors
    /// When there are too many.
    pub fn spine(&self) -> Result<Spine> {
        Spine::build(&self.ids, self.form)
    }

    /// A subject's points by category.
    #[must_use]
    pub fn points(&self, subject: usize) -> [i16; 5] {
        std::array::from_fn(|c| self.points[c][subject])
    }

    /// The scale of its scores, in cells that may be shown.
    #[must_use]
    pub fn scale(&self, run: &KeptRun) -> ScoreScale {
        let mut by_score = Vec::new();
        let mut unscored = 0;
        for score in &self.scores {
            match usize::try_from(*score) {
                Ok(score) => {
                    by_score.resize(by_score.len().max(score + 1), 0);
                    by_score[score] += 1;
                }
                Err(_) => unscored += 1,
            }
        }
        ScoreScale::new(&run.model.card, &by_score, unscored, run.pipeline.settings.privacy.min_cell)
    }
}
