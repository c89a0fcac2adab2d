//! The threads on which requests are made: started with the first one, a few for the whole process.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::exit;

/// Requests wait, they do not compute: decryption is all that these threads do.
const THREADS: usize = 2;
/// How often a wait looks whether the work is to stop.
const LOOK: Duration = Duration::from_millis(200);

static RUNTIME: LazyLock<std::io::Result<Runtime>> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(THREADS).thread_name("requests").enable_all().build());

static CRYPTOGRAPHY: LazyLock<()> = LazyLock::new(|| {
    // Another one that is set already does as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
});

/// Says by whom connections are encrypted; before the first client is made.
pub(super) fn encrypt() {
    LazyLock::force(&CRYPTOGRAPHY);
}

fn runtime() -> Result<&'static Runtime> {
    RUNTIME.as_ref().map_err(|e| anyhow!("no threads for requests could be started: {e}"))
}

thread_local! {
    /// Whether this thread does something that is done to its end.
    static TO_ITS_END: Cell<bool> = const { Cell::new(false) };
}

/// Has requests of this thread done to their end, whatever signals ask: of one that is given up nobody knows whether it was done.
pub fn to_its_end<T>(work: impl FnOnce() -> T) -> T {
    let before = TO_ITS_END.replace(true);
    let done = work();
    TO_ITS_END.set(before);
    done
}

/// Waits for work, and gives it up when a signal asks for it.
pub(super) fn wait<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    runtime()?.block_on(async {
        let mut work = pin!(work);
        loop {
            match tokio::time::timeout(LOOK, work.as_mut()).await {
                Ok(done) => return done,
                Err(_) if TO_ITS_END.get() => {}
                Err(_) => exit::asked()?,
            }
        }
    })
}

/// Begins work that nobody waits for yet.
pub(super) fn begin<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<JoinHandle<T>> {
    Ok(runtime()?.spawn(work))
}
