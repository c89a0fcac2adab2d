//! How a run of one as-of date is made, and how it ended told.

use anyhow::Result;

use crate::exit::{ExitStatus, GateFailed};
use crate::output::Output;
use crate::runs::ledger::place::table_path;
use crate::runs::remote;
use crate::session::one_date::{Done, Request};
use crate::session::publishing::Ended;

/// Makes the run and says how it ended.
///
/// # Errors
/// A failed gate; whatever stops the run.
pub(super) fn ended(request: &Request, output: &Output) -> Result<ExitStatus> {
    match request.run(output)? {
        Done::Nothing(..) => Ok(ExitStatus::Success),
        Done::Made(identity, Ended::Published { run }) => {
            let table = run.output.join(table_path(identity.label.as_of, &identity.label.model)?);
            let table = remote::shown(&table);
            output.event(
                &format!("published {table} (run {})", run.id),
                &[("event", "published".into()), ("run", run.id.into()), ("table", table.into())],
            );
            Ok(ExitStatus::Success)
        }
        Done::Made(_, Ended::Refused { run, found }) => {
            let folder = remote::shown(&run.folder);
            Err(GateFailed(format!("{found}\nnothing was published; the result is kept in {folder}")).into())
        }
    }
}
