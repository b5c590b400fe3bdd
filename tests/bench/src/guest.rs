//! Counts the instructions for each packet, in a virtual machine whose clock advances one
//! nanosecond with each instruction.
//!
//! QEMU counts the instructions that it emulates and derives its clock from them (`-icount`). So
//! what `path` measures there is exact, whatever else this machine does. The virtual machine runs
//! Debian's kernel, which has IPVS. It sees this machine's files, and runs this same program.
//!
//! `cargo xtask bench` gets QEMU and the kernel, and names the kernel's directory in the variable
//! `LB_GUEST`.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use super::{
    path::{self, Clock, Effort},
    report::Row,
};

/// The first argument of this program when it runs in the virtual machine.
pub const INSIDE: &str = "inside-guest";

const ROW: &str = "row ";
const END: &str = "exit ";
/// After this long without output, the virtual machine is taken for dead.
const PATIENCE: Duration = Duration::from_secs(900);

/// Measures everything in a virtual machine.
pub fn measure(effort: Effort, mut done: impl FnMut(Row)) -> Result<()> {
    let guest = Guest::boot(effort)?;
    loop {
        let line = guest.line()?;
        if let Some(row) = line.strip_prefix(ROW) {
            let row = serde_json::from_str(row);
            done(row.with_context(|| format!("a row of the guest's: {line}"))?);
        } else if let Some(code) = line.strip_prefix(END) {
            ensure!(code == "0", "measuring in the guest ended with {code}");
            return Ok(());
        } else {
            eprintln!("guest: {line}");
        }
    }
}

/// Measures, in the virtual machine, for [`measure`] outside, which sets the effort.
pub fn measure_inside(effort: &[&str], mut out: impl Write) -> Result<()> {
    let numbers: Vec<u32> = effort.iter().map(|n| n.parse()).collect::<Result<_, _>>()?;
    let [samples, packets, connections] = numbers[..] else {
        bail!("{INSIDE} takes three numbers, not {effort:?}");
    };
    let effort = Effort {
        samples,
        packets,
        connections,
    };
    let mut written = Ok(());
    path::measure(effort, Clock::Instructions, |row| {
        let line = serde_json::to_string(&row).map_err(Into::into);
        let line = line.and_then(|row| writeln!(out, "{ROW}{row}"));
        if written.is_ok() {
            written = line;
        }
    })?;
    written.context("write a row")
}

/// A running virtual machine. Dropping it ends it.
struct Guest {
    machine: Child,
    lines: Receiver<String>,
    folder: TempDir,
}

impl Guest {
    fn boot(effort: Effort) -> Result<Self> {
        let folder = TempDir::with_prefix("lb-guest-")?;
        fs::write(folder.path().join("job"), job(effort)?)?;
        let mut machine = machine(folder.path())?
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("run qemu-system-x86_64")?;
        let output = machine.stdout.take().context("a pipe")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let line = line.trim_end_matches('\r').to_owned();
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            machine,
            lines,
            folder,
        })
    }

    fn line(&self) -> Result<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Ok(line),
            Err(error) => {
                let console = fs::read(self.folder.path().join("console")).unwrap_or_default();
                let console = String::from_utf8_lossy(&console);
                bail!("the guest fell silent ({error}); its console:\n{console}")
            }
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.machine.kill();
        let _ = self.machine.wait();
    }
}

/// The command for the virtual machine: this program, with the settings of this one.
fn job(effort: Effort) -> Result<String> {
    let mut job = String::new();
    for name in ["LB_CTL", "LB_BENCH_OBJECT"] {
        let value = env::var(name)
            .with_context(|| format!("{name} is not set: run this as `cargo xtask bench`"))?;
        job += &format!("export {name}='{value}'\n");
    }
    let program = env::current_exe().context("find this program")?;
    let Effort {
        samples,
        packets,
        connections,
    } = effort;
    let program = program.display();
    job += &format!("exec '{program}' {INSIDE} {samples} {packets} {connections}\n");
    Ok(job)
}

fn machine(folder: &Path) -> Result<Command> {
    let kernel = env::var_os("LB_GUEST")
        .map(PathBuf::from)
        .context("LB_GUEST is not set: run this as `cargo xtask bench`")?;
    let release = kernel.file_name().context("a kernel's release")?;
    let modules = kernel.join("unpacked/lib/modules").join(release);
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args([
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
        ])
        .args(["-M", "q35,usb=off,smbus=off", "-cpu", "max,la57=off"])
        .args(["-smp", "1", "-m", "3072"])
        // `shift=0`: an instruction takes a nanosecond. `sleep=off`: when the CPU is idle, the
        // clock jumps.
        .args([
            "-accel",
            "tcg,thread=single",
            "-icount",
            "shift=0,sleep=off",
        ])
        .arg("-serial")
        .arg(format!("file:{}", folder.join("console").display()))
        .args(["-serial", "stdio"])
        .args([
            "-fsdev",
            "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap",
        ])
        .args(["-device", "virtio-9p-pci,fsdev=host,mount_tag=host"])
        .args(["-object", "rng-random,id=random,filename=/dev/urandom"])
        .args(["-device", "virtio-rng-pci,rng=random"])
        .arg("-kernel")
        .arg(kernel.join("vmlinux"))
        .arg("-initrd")
        .arg(kernel.join("initrd"))
        .arg("-append")
        .arg(format!(
            "console=ttyS0 quiet panic=-1 mitigations=off nokaslr tsc=reliable net.ifnames=0 \
             lb.modules={} lb.job={}",
            modules.display(),
            folder.join("job").display()
        ));
    let end_with_us = || {
        Ok(nix::sys::prctl::set_pdeathsig(
            nix::sys::signal::Signal::SIGKILL,
        )?)
    };
    // SAFETY: between fork and exec only a system call is made; nothing allocates.
    unsafe { command.pre_exec(end_with_us) };
    Ok(command)
}
