//! Whether the processor has what the program was compiled for: the build asks for AVX2 (`.cargo/config.toml`), and an older
//! processor would end the program by a signal that says nothing.
//!
//! All of this is whole numbers one by one and a text that stands in the program, because what an older processor lacks may be in any code
//! that moves more than eight bytes.

/// What a user of an older processor reads.
pub const REFUSAL: &str = "error: this program was compiled for processors with AVX2, BMI2 and FMA (x86-64-v3), which this one lacks. \
    Compile it on this machine: RUSTFLAGS=\"-C target-cpu=native\" cargo build --release\n";

/// Whether this processor has what the program was compiled for.
#[must_use]
#[inline(never)]
pub fn suffices() -> bool {
    #[cfg(target_arch = "x86_64")]
    return x86_64::asked_for() & !x86_64::of_this_processor() == 0;
    #[cfg(not(target_arch = "x86_64"))]
    true
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::x86_64::{__cpuid, __cpuid_count};

    /// The instruction sets of x86-64-v2 and v3 that the program was compiled for, a bit each.
    pub(super) const fn asked_for() -> u16 {
        sets([
            cfg!(target_feature = "ssse3"),
            cfg!(target_feature = "sse4.2"),
            cfg!(target_feature = "popcnt"),
            cfg!(target_feature = "avx"),
            cfg!(target_feature = "avx2"),
            cfg!(target_feature = "bmi1"),
            cfg!(target_feature = "bmi2"),
            cfg!(target_feature = "f16c"),
            cfg!(target_feature = "fma"),
            cfg!(target_feature = "lzcnt"),
            cfg!(target_feature = "movbe"),
        ])
    }

    /// Those that `cpuid` tells of. `is_x86_feature_detected!` answers yes without asking where the compiler was told so.
    pub(super) fn of_this_processor() -> u16 {
        let basic = __cpuid(1).ecx;
        let extended = if __cpuid(0).eax >= 7 { __cpuid_count(7, 0).ebx } else { 0 };
        let amd = if __cpuid(0x8000_0000).eax >= 0x8000_0001 { __cpuid(0x8000_0001).ecx } else { 0 };
        told(basic, extended, amd)
    }

    /// What leaf 1 (ecx), leaf 7 (ebx) and leaf 0x8000_0001 (ecx) tell of. The system must keep the wide registers (`osxsave`), or AVX is
    /// there in vain.
    pub(super) const fn told(basic: u32, extended: u32, amd: u32) -> u16 {
        let wide = bit(basic, 27);
        sets([
            bit(basic, 9),
            bit(basic, 20),
            bit(basic, 23),
            wide && bit(basic, 28),
            wide && bit(extended, 5),
            bit(extended, 3),
            bit(extended, 8),
            wide && bit(basic, 29),
            wide && bit(basic, 12),
            bit(amd, 5),
            bit(basic, 22),
        ])
    }

    const fn bit(register: u32, bit: u32) -> bool {
        (register >> bit) & 1 == 1
    }

    const fn sets(of: [bool; 11]) -> u16 {
        let (mut sets, mut at) = (0, 0);
        while at < of.len() {
            if of[at] {
                sets |= 1 << at;
            }
            at += 1;
        }
        sets
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn what_the_processor_lacks_is_found() {
            let all = told(u32::MAX, u32::MAX, u32::MAX);
            assert_eq!(all, (1 << 11) - 1);
            assert_eq!(told(0, 0, 0), 0);
            // Without AVX2, and with a system that does not keep the wide registers.
            assert_eq!(told(u32::MAX, !(1 << 5), u32::MAX), all & !(1 << 4));
            assert_eq!(told(!(1 << 27), u32::MAX, u32::MAX), all & !0b1_1001_1000);
        }

        #[test]
        fn the_processor_that_runs_this_suffices() {
            assert!(super::super::suffices());
        }
    }
}
