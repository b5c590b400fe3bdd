//! Writes a cpio archive that Linux unpacks at boot (format `newc`,
//! Documentation/driver-api/early-userspace/buffer-format.rst).

use std::io::{self, Write};

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// An archive that is being written.
#[derive(Debug)]
pub struct Archive<W> {
    out: W,
    entries: u32,
}

impl<W: Write> Archive<W> {
    /// An empty archive.
    pub fn new(out: W) -> Self {
        Self { out, entries: 0 }
    }

    /// Adds a directory. Its parent must have been added before.
    pub fn directory(&mut self, path: &str) -> io::Result<()> {
        self.entry(path, DIRECTORY, &[])
    }

    /// Adds an executable file.
    pub fn file(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        self.entry(path, PROGRAM, content)
    }

    /// Ends the archive.
    pub fn finish(mut self) -> io::Result<()> {
        self.entry("TRAILER!!!", 0, &[])?;
        self.out.flush()
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.entries += 1;
        let (name, size) = (path.len() as u32 + 1, content.len() as u32);
        let inode = self.entries;
        // inode, mode, owner, group, links, time, size, device (2), of what device (2), length
        // of the name, checksum
        let fields = [inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name, 0];
        write!(self.out, "070701")?;
        for field in fields {
            write!(self.out, "{field:08x}")?;
        }
        const HEADER: usize = 6 + 13 * 8;
        write!(self.out, "{path}\0")?;
        self.pad(HEADER + path.len() + 1)?;
        self.out.write_all(content)?;
        self.pad(content.len())
    }

    fn pad(&mut self, length: usize) -> io::Result<()> {
        const ZEROES: [u8; 3] = [0; 3];
        self.out.write_all(&ZEROES[..length.wrapping_neg() % 4])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_header_a_name_and_a_content_each_padded_to_four_bytes() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.file("a", b"hello").unwrap();
        let head = "070701 00000001 000081ed 00000000 00000000 00000001 00000000 00000005 \
                    00000000 00000000 00000000 00000000 00000002 00000000"
            .replace(' ', "");
        let (header, tail) = bytes.split_at(head.len());
        assert_eq!(header, head.as_bytes());
        assert_eq!(tail, b"a\0hello\0\0\0");
    }
}
