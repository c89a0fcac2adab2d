//! Things that are made in parallel and handed on in order, without a pause in which all wait for the slowest: while one thread hands on,
//! the others make the next ones.
//!
//! Only so many are under way or wait for one before them at a time. Each begins when one before it was handed on, which is what makes room
//! for it, so that no thread ever waits for another one: whoever finds no room is free for other work of the pool.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Result, ensure};
use rayon::Scope;

/// Makes so many things by their positions from 0, at most `most` of which are there at a time, and hands each to `sink`, in order.
///
/// # Errors
/// The first error in order, of `work` or of `sink`: what comes after it is not handed on, and may not be made.
pub fn in_order<T: Send>(
    count: usize,
    most: usize,
    work: &(dyn Fn(usize) -> Result<T> + Sync),
    sink: &mut (dyn FnMut(T) -> Result<()> + Send),
) -> Result<()> {
    let state = State { next: 0, done: 0, ready: BTreeMap::new(), sink: Some(sink), failed: None };
    let line = Line { count, state: Mutex::new(state) };
    let shared = &line;
    rayon::scope(move |scope| {
        (0..most.max(1).min(count)).for_each(|_| scope.spawn(move |scope| shared.serve(scope, work)));
    });
    let state = line.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = state.failed {
        return Err(error);
    }
    ensure!(state.done == count, "defect: {} of {count} were handed on", state.done);
    Ok(())
}

/// Who things are handed to.
type Sink<'s, T> = dyn FnMut(T) -> Result<()> + Send + 's;

struct Line<'s, T> {
    count: usize,
    state: Mutex<State<'s, T>>,
}

struct State<'s, T> {
    /// The one that is made next.
    next: usize,
    /// How many were handed on.
    done: usize,
    /// Those that wait for one before them.
    ready: BTreeMap<usize, Result<T>>,
    /// The thread that hands some on has it meanwhile.
    sink: Option<&'s mut Sink<'s, T>>,
    failed: Option<anyhow::Error>,
}

impl<'s, T: Send> Line<'s, T> {
    fn state(&self) -> MutexGuard<'_, State<'s, T>> {
        // No thread gives up while it has it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the next one, if any is left, and hands on what its turn has come for.
    fn serve<'l>(&'l self, scope: &Scope<'l>, work: &'l (dyn Fn(usize) -> Result<T> + Sync + 'l)) {
        let Some(at) = self.take() else { return };
        let made = work(at);
        let mut state = self.state();
        state.ready.insert(at, made);
        // Whoever hands others on looks for this one as well before they give the sink back.
        let Some(sink) = state.sink.take() else { return };
        while state.failed.is_none() {
            let turn = state.done;
            let Some(made) = state.ready.remove(&turn) else { break };
            drop(state);
            let handed_on = made.and_then(&mut *sink);
            state = self.state();
            match handed_on {
                Ok(()) => {
                    state.done += 1;
                    scope.spawn(move |scope| self.serve(scope, work));
                }
                Err(error) => state.failed = Some(error),
            }
        }
        state.sink = Some(sink);
    }

    fn take(&self) -> Option<usize> {
        let mut state = self.state();
        let at = state.next;
        if at == self.count || state.failed.is_some() {
            return None;
        }
        state.next += 1;
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use anyhow::bail;
    use proptest::prelude::*;
    use rayon::prelude::*;

    use super::*;

    fn on<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
    }

    /// Work that takes longer for some than for others, and is divided itself.
    fn sum(of: u64) -> u64 {
        (0..of * 1_000).into_par_iter().map(std::hint::black_box).sum()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn all_are_handed_on_in_order_and_only_so_many_are_there(
            sizes in proptest::collection::vec(0_u64..40, 0..60), threads in 1_usize..5, most in 1_usize..9,
        ) {
            let (there, largest) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let mut found = Vec::new();
            let work = |at: usize| -> Result<(usize, u64)> {
                let now = there.fetch_add(1, Ordering::SeqCst) + 1;
                largest.fetch_max(now, Ordering::SeqCst);
                Ok((at, sum(sizes[at])))
            };
            on(threads, || in_order(sizes.len(), most, &work, &mut |made: (usize, u64)| {
                there.fetch_sub(1, Ordering::SeqCst);
                found.push(made);
                Ok(())
            })).unwrap();
            let expected: Vec<(usize, u64)> = sizes.iter().map(|size| sum(*size)).enumerate().collect();
            prop_assert_eq!(found, expected);
            prop_assert!(largest.load(Ordering::SeqCst) <= most);
        }

        #[test]
        fn the_first_error_in_order_is_the_one_that_is_told(
            wrong in proptest::collection::btree_set(0_usize..40, 1..6), refused in 0_usize..60, threads in 1_usize..5,
        ) {
            let mut handed_on = 0;
            let work = |at: usize| -> Result<usize> {
                // The later one is wrong, the sooner it is found out.
                sum(40 - at as u64);
                if wrong.contains(&at) {
                    bail!("wrong {at}");
                }
                Ok(at)
            };
            let error = on(threads, || in_order(40, 6, &work, &mut |at: usize| {
                if at == refused {
                    bail!("refused {at}");
                }
                handed_on += 1;
                Ok(())
            })).unwrap_err();
            let first = wrong.first().copied().unwrap().min(refused);
            let told = if wrong.contains(&first) { format!("wrong {first}") } else { format!("refused {first}") };
            prop_assert_eq!(error.to_string(), told);
            prop_assert_eq!(handed_on, first);
        }
    }

    #[test]
    fn who_gives_up_stops_the_others() {
        for threads in [1, 3] {
            let work = |at: usize| -> Result<usize> {
                assert!(at != 5, "five");
                Ok(at)
            };
            let mut last = 0;
            let given_up = catch_unwind(AssertUnwindSafe(|| {
                on(threads, || {
                    in_order(50, 4, &work, &mut |at: usize| {
                        last = at;
                        Ok(())
                    })
                })
            }));
            assert!(given_up.is_err());
            assert_eq!(last, 4);
        }
    }
}
