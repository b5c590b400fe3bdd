//! The size of the director's program, and a budget for it. Unlike times, these figures do not
//! depend on what else the machine does.

use anyhow::{Context, Result};
use aya::{programs::Xdp, util::KernelVersion};
use serde::{Deserialize, Serialize};

/// A program may exceed its budget by this many percent, because compilers differ.
pub const LEEWAY: u32 = 10;

/// The size of a program in the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footprint {
    /// The kernel's series, such as `6.18`. The verifiers of others walk other paths.
    pub kernel: String,
    /// The CPU architecture that the kernel compiled it for.
    pub architecture: String,
    /// Instructions that the verifier walked, all paths together.
    pub verified_instructions: u32,
    /// The program's size after the verifier has rewritten it.
    pub translated_bytes: u32,
    /// The program's size in machine code; 0 if the kernel interprets it.
    pub jited_bytes: u32,
}

impl Footprint {
    /// Of a program that is loaded.
    pub fn of(program: &Xdp) -> Result<Self> {
        let info = program.info().context("ask the kernel about the program")?;
        let kernel = KernelVersion::current().context("ask for the kernel's version")?;
        // `major << 16 | minor << 8 | patch`
        let code = kernel.code();
        Ok(Self {
            kernel: format!("{}.{}", code >> 16, code >> 8 & 0xFF),
            architecture: std::env::consts::ARCH.to_owned(),
            verified_instructions: info
                .verified_instruction_count()
                .context("the kernel does not count verified instructions: it is before 5.16")?,
            translated_bytes: info
                .size_translated()
                .context("the kernel keeps the translated program to itself")?,
            jited_bytes: info.size_jitted(),
        })
    }

    /// Says which figures exceed the budget by more than the leeway: one sentence for each. Figures
    /// that depend on the kernel or the CPU are compared only with those of the same kernel or CPU.
    #[must_use]
    pub fn beyond(&self, budget: &Self) -> Vec<String> {
        let kernel = self.kernel == budget.kernel;
        let architecture = self.architecture == budget.architecture;
        let figures = [
            (
                kernel,
                "verified instructions",
                self.verified_instructions,
                budget.verified_instructions,
            ),
            (
                true,
                "bytes translated",
                self.translated_bytes,
                budget.translated_bytes,
            ),
            (
                architecture,
                "bytes JITed",
                self.jited_bytes,
                budget.jited_bytes,
            ),
        ];
        let comparable = figures.into_iter().filter(|(comparable, ..)| *comparable);
        comparable
            .filter_map(|(_, what, now, budgeted)| growth(what, now, budgeted))
            .collect()
    }
}

fn growth(what: &str, now: u32, budgeted: u32) -> Option<String> {
    let limit = u64::from(budgeted) * u64::from(100 + LEEWAY) / 100;
    if u64::from(now) <= limit {
        return None;
    }
    let percent = 100.0 * (f64::from(now) / f64::from(budgeted) - 1.0);
    Some(format!(
        "{now} {what}: {percent:.0} % more than the budget's {budgeted}; {LEEWAY} % are allowed"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget() -> Footprint {
        Footprint {
            kernel: "6.18".into(),
            architecture: "x86_64".into(),
            verified_instructions: 10_000,
            translated_bytes: 2_000,
            jited_bytes: 1_000,
        }
    }

    #[test]
    fn a_program_may_grow_a_little() {
        let grown = Footprint {
            verified_instructions: 11_000,
            translated_bytes: 2_200,
            jited_bytes: 900,
            ..budget()
        };
        assert_eq!(grown.beyond(&budget()), Vec::<String>::new());
    }

    #[test]
    fn what_grew_is_said_with_by_how_much() {
        let grown = Footprint {
            translated_bytes: 2_500,
            ..budget()
        };
        assert_eq!(
            grown.beyond(&budget()),
            ["2500 bytes translated: 25 % more than the budget's 2000; 10 % are allowed"]
        );
    }

    #[test]
    fn what_another_kernel_or_cpu_counts_is_not_compared() {
        let elsewhere = Footprint {
            kernel: "6.12".into(),
            architecture: "aarch64".into(),
            verified_instructions: 90_000,
            translated_bytes: 2_000,
            jited_bytes: 9_000,
        };
        assert_eq!(elsewhere.beyond(&budget()), Vec::<String>::new());
    }
}
