//! How much memory rows may take when nobody says: a part of what is free.

use sysinfo::{MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, System, get_current_pid};

/// Rows may take so many bytes however little is free, and where nothing is known of it.
pub const LEAST: u64 = 512 << 20;
/// More they do not take unasked.
const MOST: u64 = 4 << 30;
/// Links may take four times what rows may: all of them half of what is free.
const PART: u64 = 8;

/// Memory for rows waiting to be aggregated, in bytes: an eighth of what is free on the machine now or, where that is less, of what the
/// process's control group may still take.
#[must_use]
pub fn usual() -> u64 {
    let mut system = System::new();
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let of_group = get_current_pid().ok().and_then(|own| {
        let only = ProcessesToUpdate::Some(&[own]);
        system.refresh_processes_specifics(only, false, ProcessRefreshKind::nothing().without_tasks());
        system.process(own)?.cgroup_limits()
    });
    let limits = of_group.into_iter().chain(system.cgroup_limits()).map(|limits| limits.free_memory);
    part(limits.fold(system.available_memory(), u64::min))
}

fn part(free: u64) -> u64 {
    (free / PART).clamp(LEAST, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_take_an_eighth_of_what_is_free_within_bounds() {
        assert_eq!([0, 4 << 30, 16 << 30, 1 << 40].map(part), [512 << 20, 512 << 20, 2 << 30, 4 << 30]);
        assert!((LEAST..=MOST).contains(&usual()));
    }
}
