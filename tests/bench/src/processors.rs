//! Measures CPU time.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use nix::{
    time::{ClockId, clock_gettime},
    unistd::{Pid, SysconfVar, sysconf},
};

/// The time that all CPUs of the machine together have spent in the kernel since it was started,
/// interrupts included. Other processes' work is counted, too.
pub fn in_kernel() -> Result<Duration> {
    const PATH: &str = "/proc/stat";
    /// Fields of `user nice system idle iowait irq softirq`.
    const KERNEL: [usize; 3] = [2, 5, 6];
    let text = fs::read_to_string(PATH).context("read /proc/stat")?;
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "));
    let line = line.context("/proc/stat has no line `cpu`")?;
    let fields = line.split_whitespace().enumerate();
    let ticks = fields
        .filter(|(place, _)| KERNEL.contains(place))
        .map(|(_, ticks)| ticks.parse::<u64>())
        .sum::<Result<u64, _>>()
        .with_context(|| format!("read numbers in {line:?} of {PATH}"))?;
    let per_second = sysconf(SysconfVar::CLK_TCK)?.context("the machine has no clock ticks")?;
    Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

/// The CPU time of a process, all its threads together.
fn of_process(process: Pid) -> Result<Duration> {
    let clock = ClockId::pid_cpu_clock_id(process)
        .with_context(|| format!("find the CPU clock of process {process}"))?;
    let time = clock_gettime(clock).with_context(|| format!("read the clock of {process}"))?;
    Ok(Duration::from(time))
}

/// Waits, and returns how much of a CPU a process has used meanwhile, in percent.
pub fn share_of_process(process: Pid, window: Duration) -> Result<f64> {
    let (started, before) = (Instant::now(), of_process(process)?);
    // A fixed time, because CPU time per time is what is measured.
    thread::sleep(window);
    let worked = of_process(process)? - before;
    Ok(100.0 * worked.as_secs_f64() / started.elapsed().as_secs_f64())
}

/// Memory of a process that it shares with no other, in bytes.
pub fn memory_of(process: Pid) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let line = line.with_context(|| format!("{path} has no line `RssAnon`"))?;
    let kilobytes = line.trim().trim_end_matches(" kB").parse::<u64>();
    let kilobytes = kilobytes.with_context(|| format!("read {line:?} of {path}"))?;
    Ok(kilobytes << 10)
}
