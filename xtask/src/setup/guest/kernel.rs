//! Extracts the decompressed kernel. Decompressing takes an emulated CPU a long time.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Result, bail, ensure};

/// The first bytes of compressed data, and the program that decompresses it.
const FORMATS: [(&[u8], &str); 4] = [
    (&[0xfd, b'7', b'z'], "xz"),
    (&[0x28, 0xb5, 0x2f], "zstd"),
    (&[0x02, 0x21, 0x4c], "lz4"),
    (&[0x1f, 0x8b], "gzip"),
];

/// Extracts the kernel from a bzImage, with as much as ELF loaders need.
pub fn extract(image: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    let payload = payload(&bytes).with_context(|| format!("{} is no bzImage", image.display()))?;
    let known = FORMATS.iter().find(|(magic, _)| payload.starts_with(magic));
    let Some((_, program)) = known else {
        bail!("{} is compressed in an unknown way", image.display());
    };
    decompress(program, payload, to)?;
    ensure!(
        fs::read(to)?.starts_with(b"\x7fELF"),
        "{} holds no ELF file",
        image.display()
    );
    Ok(())
}

/// The compressed kernel in a bzImage (Documentation/arch/x86/boot.rst of Linux). Its last four
/// bytes, in which Linux keeps the length, are left out.
fn payload(image: &[u8]) -> Option<&[u8]> {
    const SECTOR: usize = 512;
    let number = |offset: usize| {
        let bytes = image.get(offset..offset + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let sectors = match *image.get(0x1f1)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (sectors + 1) * SECTOR + number(0x248)?;
    image.get(start..start + number(0x24c)?.checked_sub(4)?)
}

fn decompress(program: &str, payload: &[u8], to: &Path) -> Result<()> {
    let file = File::create(to).with_context(|| format!("cannot create {}", to.display()))?;
    let mut child = Command::new(program)
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(file)
        // The program complains about the bytes after the kernel; its exit code does not count.
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    let mut input = child.stdin.take().context("a pipe")?;
    thread::scope(|scope| {
        scope.spawn(move || {
            let _ = input.write_all(payload);
        });
        child.wait()
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compressed_kernel_lies_where_the_header_says() {
        let mut image = vec![0; 3000];
        image[0x1f1] = 3;
        image[0x248..0x24c].copy_from_slice(&10u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&7u32.to_le_bytes());
        image[4 * 512 + 10..4 * 512 + 17].copy_from_slice(b"xyzSIZE");
        assert_eq!(payload(&image), Some(&b"xyz"[..]));
        assert_eq!(payload(b"short"), None);
    }
}
