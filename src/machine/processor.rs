//! Whether the processor has what the program was compiled for: the build asks for AVX2 (`.cargo/config.toml`), and an older
//! processor would end the program by a signal that says nothing.

/// The instruction sets of x86-64-v3 that this processor lacks and the program was compiled for; empty when it may go on.
#[must_use]
#[inline(never)]
pub fn lacking() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    return x86_64::lacking(&x86_64::Registers::of_this_processor());
    #[cfg(not(target_arch = "x86_64"))]
    Vec::new()
}

/// What a user of such a processor reads.
#[must_use]
pub fn refusal(lacking: &[&str]) -> String {
    format!(
        "this program was compiled for processors with {}, and this one has none of it; compile it on this machine with \
         RUSTFLAGS=\"-C target-cpu=native\" cargo build --release",
        lacking.join(", ")
    )
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::x86_64::{__cpuid, __cpuid_count};

    /// What `cpuid` says of instruction sets. `is_x86_feature_detected!` answers yes without asking where the compiler was told so.
    #[derive(Default)]
    pub(super) struct Registers {
        /// Leaf 1, ecx.
        basic: u32,
        /// Leaf 7, ebx.
        extended: u32,
        /// Leaf 0x8000_0001, ecx.
        amd: u32,
    }

    impl Registers {
        pub(super) fn of_this_processor() -> Self {
            let (leaves, amd_leaves) = (__cpuid(0).eax, __cpuid(0x8000_0000).eax);
            Self {
                basic: __cpuid(1).ecx,
                extended: if leaves >= 7 { __cpuid_count(7, 0).ebx } else { 0 },
                amd: if amd_leaves >= 0x8000_0001 { __cpuid(0x8000_0001).ecx } else { 0 },
            }
        }
    }

    /// The sets of x86-64-v2 and v3, whether the program was compiled for them, and whether the processor has them. The system must
    /// keep the wide registers (`osxsave`), or AVX is there in vain.
    pub(super) fn lacking(of: &Registers) -> Vec<&'static str> {
        let wide = bit(of.basic, 27);
        [
            ("ssse3", cfg!(target_feature = "ssse3"), bit(of.basic, 9)),
            ("sse4.2", cfg!(target_feature = "sse4.2"), bit(of.basic, 20)),
            ("popcnt", cfg!(target_feature = "popcnt"), bit(of.basic, 23)),
            ("avx", cfg!(target_feature = "avx"), wide && bit(of.basic, 28)),
            ("avx2", cfg!(target_feature = "avx2"), wide && bit(of.extended, 5)),
            ("bmi1", cfg!(target_feature = "bmi1"), bit(of.extended, 3)),
            ("bmi2", cfg!(target_feature = "bmi2"), bit(of.extended, 8)),
            ("f16c", cfg!(target_feature = "f16c"), wide && bit(of.basic, 29)),
            ("fma", cfg!(target_feature = "fma"), wide && bit(of.basic, 12)),
            ("lzcnt", cfg!(target_feature = "lzcnt"), bit(of.amd, 5)),
            ("movbe", cfg!(target_feature = "movbe"), bit(of.basic, 22)),
        ]
        .into_iter()
        .filter_map(|(name, compiled, has)| (compiled && !has).then_some(name))
        .collect()
    }

    const fn bit(register: u32, bit: u32) -> bool {
        (register >> bit) & 1 == 1
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_processor_without_any_lacks_all_that_the_build_asks_for() {
            let missing = lacking(&Registers::default());
            assert_eq!(missing.contains(&"avx2"), cfg!(target_feature = "avx2"));
            assert_eq!(missing.contains(&"bmi2"), cfg!(target_feature = "bmi2"));
        }

        #[test]
        fn registers_that_the_system_does_not_keep_are_missing() {
            let all = Registers { basic: u32::MAX, extended: u32::MAX, amd: u32::MAX };
            assert!(lacking(&all).is_empty());
            let not_kept = Registers { basic: !(1 << 27), ..all };
            assert_eq!(lacking(&not_kept).contains(&"avx2"), cfg!(target_feature = "avx2"));
            assert!(!lacking(&not_kept).contains(&"bmi1"));
        }

        #[test]
        fn the_processor_that_runs_this_has_what_it_was_compiled_for() {
            assert_eq!(lacking(&Registers::of_this_processor()), Vec::<&str>::new());
        }
    }
}
