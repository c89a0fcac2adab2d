//! Who is scored and who is not, what moved scores, and what they open.

use serde_json::{Value, json};

use super::Facts;
use super::scale::ScoreScale;
use crate::disclosure::{cells, part, small};
use crate::ingest::consents::{NETWORK, SCORE};
use crate::pipeline::model::NO_CONSENT;

fn counted(cells: usize, of: impl Iterator<Item = usize>) -> Vec<u64> {
    let mut counts = vec![0_u64; cells];
    of.for_each(|n| counts[n] += 1);
    counts
}

/// Statuses and segments.
pub fn coverage(facts: &Facts) -> Value {
    let (rows, card) = (&facts.population.rows, &facts.job.model.card);
    let statuses = counted(card.status.len(), rows.status.iter().map(|s| usize::from(*s)));
    // Scored and not scored are a division of their own; the statuses are divisions of each.
    let scored: Vec<bool> = card.status.iter().map(|s| s.get_ref().scored).collect();
    let all_shown = part(facts.population.scored, facts.subjects(), facts.least()).is_some();
    let of = |which: bool| -> Vec<u64> {
        statuses.iter().zip(&scored).filter(|(_, s)| **s == which).map(|(c, _)| *c).collect()
    };
    let shown = |which: bool| match all_shown {
        true => cells::shown(&of(which), &[], facts.least()),
        false if which => facts.of_scored(&of(true), &[]),
        false => of(false).iter().map(|c| (*c == 0).then_some(0)).collect(),
    };
    let (mut yes, mut no) = (shown(true).into_iter(), shown(false).into_iter());
    let statuses: Vec<Value> = card
        .status
        .iter()
        .map(|status| {
            let status = status.get_ref();
            let subjects = if status.scored { yes.next() } else { no.next() };
            json!({ "status": status.name, "scored": status.scored, "subjects": subjects.flatten() })
        })
        .collect();
    let segments = counted(card.segment.len(), rows.segment.iter().map(|s| usize::from(*s)));
    let segments: Vec<Value> = card
        .segment
        .iter()
        .zip(cells::shown(&segments, &[], facts.least()))
        .map(|(segment, subjects)| json!({ "segment": segment.get_ref().name, "subjects": subjects }))
        .collect();
    json!({
        "subjects": facts.subjects(),
        "scored": facts.part_of_all(facts.population.scored),
        "statuses": statuses,
        "segments": segments,
    })
}

/// What the policy rules did.
pub fn policy(facts: &Facts) -> Value {
    let rules = facts.job.model.card.policy.iter().enumerate().map(|(n, rule)| {
        let rule = rule.get_ref();
        let hit = facts.population.rows.policy.iter().filter(|p| p.is_some_and(|p| usize::from(p) == n)).count();
        (
            rule.code.clone(),
            json!({ "about": rule.about, "cap": rule.cap, "subjects": facts.part_of_scored(hit as u64) }),
        )
    });
    Value::Object(rules.collect())
}

/// Records under dispute.
pub fn disputes(facts: &Facts) -> Value {
    let rows = &facts.population.rows;
    let subjects = rows.disputed.iter().filter(|d| **d > 0).count() as u64;
    let records: i64 = rows.disputed.iter().map(|d| i64::from(*d)).sum();
    json!({ "records": records, "subjects": facts.part_of_all(subjects), "by_table": facts.data.disputes })
}

/// What subjects consent to.
pub fn consents(facts: &Facts) -> Value {
    let with =
        |bit: u8| facts.part_of_all(facts.data.subjects.consents.iter().filter(|c| **c & bit != 0).count() as u64);
    // Those without consent have a status of their own, unless they have died or left; these may be few.
    let rows = &facts.population.rows;
    let no_consent = facts.job.model.card.status.iter().position(|s| s.get_ref().name == NO_CONSENT);
    let others = (0..rows.status.len())
        .filter(|s| facts.data.subjects.consents[*s] & SCORE == 0 && Some(usize::from(rows.status[*s])) != no_consent)
        .count() as u64;
    let given = facts.job.exports.iter().any(|e| e.table.name == "consents");
    json!({
        "table_given": given,
        "statement": facts.job.pipeline.settings.consent_statement,
        "score": with(SCORE).filter(|_| !small(others, facts.least())),
        "network": with(NETWORK),
    })
}

/// What scores open.
pub fn privileges(facts: &Facts, scale: &ScoreScale) -> Value {
    let privileges = facts.job.model.card.privilege.iter().map(|privilege| {
        let privilege = privilege.get_ref();
        json!({ "privilege": privilege.name, "from": privilege.from, "subjects": scale.from(privilege.from) })
    });
    Value::Array(privileges.collect())
}
