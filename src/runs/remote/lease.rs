//! A lease: who works on an output in an object store, and until when. It saves others the work; what is right does not depend on it, for
//! every line of the ledger is put under a condition. A process that ends without a word leaves it to run out.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::mirror::{Mirror, held};
use super::store::TRIES;
use crate::exit::Locked;
use crate::storage::objects::{Condition, Put, Tag};

/// The object of the lease.
pub const LEASE: &str = "lock.json";
/// How long a lease lasts that is not renewed.
const LASTS: Duration = Duration::from_secs(60);

/// Who has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Holder {
    owner: String,
    process: u32,
    host: String,
    /// The running system and its processes' names, which are not the host's: another's may be called the same.
    #[serde(default)]
    machine: String,
    since: Timestamp,
    until: Timestamp,
    command: String,
}

/// The lease, renewed until it is dropped.
#[derive(Debug)]
pub struct Lease {
    ending: Arc<(Mutex<bool>, Condvar)>,
    renewal: Option<JoinHandle<()>>,
}

fn host() -> String {
    fs_err::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// What tells this system, as it runs, and the processes that have numbers of the same kind from any other; nothing when that is not known.
fn machine() -> String {
    let boot = fs_err::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let processes = fs_err::read_link("/proc/self/ns/pid").unwrap_or_default();
    match (boot.trim(), processes.to_str()) {
        ("", _) | (_, None | Some("")) => String::new(),
        (boot, Some(processes)) => format!("{boot} {processes}"),
    }
}

/// Whether a lease is not to be had. Only in a build for the tests, which let publishers meet that a lease would keep apart.
fn switched_off() -> bool {
    cfg!(feature = "kill-points") && std::env::var_os("SESAME_NO_LEASE").is_some()
}

impl Holder {
    fn text(&self) -> Result<Bytes> {
        Ok(Bytes::from(serde_json::to_string(self)? + "\n"))
    }

    /// Whether it may be taken over: it has run out, or its process was one of this machine and is gone.
    fn is_over(&self, now: Timestamp) -> bool {
        let gone = || {
            let process = i32::try_from(self.process).ok().and_then(rustix::process::Pid::from_raw);
            let found = process.map(rustix::process::test_kill_process);
            !self.machine.is_empty()
                && self.machine == machine()
                && found.is_some_and(|found| found == Err(rustix::io::Errno::SRCH))
        };
        self.until <= now || gone()
    }
}

/// Until when a lease lasts that is renewed now.
fn until(now: Timestamp) -> Result<Timestamp> {
    Ok(now.checked_add(jiff::SignedDuration::try_from(LASTS)?)?)
}

impl Lease {
    /// Takes the lease of an output; nothing where leases are switched off.
    ///
    /// # Errors
    /// [`Locked`] at once when another process has it, with what is known of that one; when the store does not answer.
    pub fn take(mirror: &Arc<Mirror>, command: &str) -> Result<Option<Self>> {
        if switched_off() {
            return Ok(None);
        }
        let now = Timestamp::now();
        let holder = Holder {
            owner: mirror.owner().to_owned(),
            process: std::process::id(),
            host: host(),
            machine: machine(),
            since: now,
            until: until(now)?,
            command: command.to_owned(),
        };
        for _ in 0..TRIES {
            let found = mirror.store().get(LEASE)?;
            let condition = match &found {
                None => Condition::Absent,
                Some((bytes, tag)) => {
                    let other = serde_json::from_slice::<Holder>(bytes).ok();
                    // What is no lease is taken over; of this process's own the answer was lost.
                    if let Some(other) = other.filter(|o| o.owner != holder.owner && !o.is_over(Timestamp::now())) {
                        return Err(Locked(told(mirror.url(), &other)).into());
                    }
                    Condition::Is(tag)
                }
            };
            if let Put::Done(tag) = mirror.store().put(LEASE, holder.text()?, condition)? {
                return Self::renewed(Arc::clone(mirror), holder, tag).map(Some);
            }
        }
        Err(Locked(format!("{} is locked by others again and again; nothing was done", mirror.url())).into())
    }

    fn renewed(mirror: Arc<Mirror>, mut holder: Holder, mut tag: Tag) -> Result<Self> {
        mirror.lost.store(false, Ordering::Relaxed);
        *held(&mirror.until) = Some(holder.until);
        let ending = Arc::new((Mutex::new(false), Condvar::new()));
        let told = Arc::clone(&ending);
        let renewal = std::thread::Builder::new().name("lease".to_owned()).spawn(move || {
            let (ended, wake) = &*told;
            loop {
                let waited = wake
                    .wait_timeout_while(held(ended), LASTS / 4, |ended| !*ended)
                    .unwrap_or_else(PoisonError::into_inner);
                let over = *waited.0;
                drop(waited);
                let renewed = renew(&mirror, &mut holder, &mut tag, over);
                *held(&mirror.until) = (!over).then_some(holder.until);
                match renewed {
                    Ok(true) if over => return,
                    Ok(true) => {}
                    Ok(false) => {
                        mirror.lost.store(true, Ordering::Relaxed);
                        return;
                    }
                    // It may answer the next time; if not, the lease runs out, and the conditions of puts are what counts.
                    Err(_) if over => return,
                    Err(_) => {
                        if holder.until <= Timestamp::now() {
                            mirror.lost.store(true, Ordering::Relaxed);
                        }
                    }
                }
            }
        });
        Ok(Self { ending, renewal: Some(renewal.context("a thread that renews the lease")?) })
    }
}

/// Renews a lease, or with `over` ends it; whether it is still this process's.
fn renew(mirror: &Mirror, holder: &mut Holder, tag: &mut Tag, over: bool) -> Result<bool> {
    let now = Timestamp::now();
    let next = Holder { until: if over { now } else { until(now)? }, ..holder.clone() };
    for _ in 0..2 {
        if let Put::Done(put) = mirror.store().put(LEASE, next.text()?, Condition::Is(tag))? {
            (*tag, *holder) = (put, next);
            return Ok(true);
        }
        // The answer to the last put may have been lost: then what is there is this process's.
        let Some((bytes, there)) = mirror.store().get(LEASE)? else { return Ok(false) };
        if serde_json::from_slice::<Holder>(&bytes).ok().is_none_or(|other| other.owner != holder.owner) {
            return Ok(false);
        }
        *tag = there;
    }
    Ok(false)
}

fn told(url: &str, of: &Holder) -> String {
    format!(
        "{url} is locked by process {} on {} since {} (sesame {}); nothing was done, try again when it has ended. If it ended without a \
         word, the lock runs out at {}",
        of.process, of.host, of.since, of.command, of.until
    )
}

impl Drop for Lease {
    fn drop(&mut self) {
        *held(&self.ending.0) = true;
        self.ending.1.notify_all();
        if let Some(renewal) = self.renewal.take() {
            // A thread that failed has nothing to end.
            let _ = renewal.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_to_be_gone_only_where_its_number_is_known() {
        let now = Timestamp::now();
        // The number of a process that has ended.
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let of = |machine: String, process| Holder {
            owner: "other".to_owned(),
            process,
            host: host(),
            machine,
            since: now,
            until: until(now).unwrap(),
            command: "run".to_owned(),
        };
        assert!(!machine().is_empty());
        assert!(of(machine(), ended.id()).is_over(now));
        assert!(!of(machine(), std::process::id()).is_over(now));
        // A machine of the same name, or a container with the host's: its processes have other numbers.
        assert!(!of("another".to_owned(), ended.id()).is_over(now));
        assert!(!of(String::new(), ended.id()).is_over(now));
        assert!(of("another".to_owned(), ended.id()).is_over(until(now).unwrap()));
        // As an earlier version wrote it.
        let text = r#"{"owner":"o","process":1,"host":"h","since":"2026-01-01T00:00:00Z","until":"2026-01-01T00:01:00Z","command":"run"}"#;
        assert_eq!(serde_json::from_str::<Holder>(text).unwrap().machine, "");
    }
}
