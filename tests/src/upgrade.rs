//! Makes another version of `lb-ctl` out of the binary at hand. Its eBPF program is different but
//! does the same.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use anyhow::{Context, Result, ensure};
use object::{
    LittleEndian, Object, ObjectSection, ObjectSymbol,
    elf::{EM_BPF, FileHeader64},
    read::elf::{ElfFile64, FileHeader},
};

/// Writes a copy of a binary. In the copy, one instruction of the eBPF program `director` is
/// replaced by another with the same effect.
pub fn write(binary: &Path, to: &Path) -> Result<()> {
    let mut bytes = fs::read(binary).with_context(|| format!("read {}", binary.display()))?;
    let place = dispensable(&bytes).with_context(|| format!("in {}", binary.display()))?;
    let code = bytes.get_mut(place).context("no such place")?;
    ensure!(*code == MOVE_32, "the instruction is not what it was");
    *code = MOVE_64;
    fs::write(to, bytes).with_context(|| format!("write {}", to.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// `w = immediate`, which clears the register's upper half.
const MOVE_32: u8 = 0xb4;
/// `r = immediate`, extended by its sign.
const MOVE_64: u8 = 0xb7;
const INSTRUCTION: usize = 8;

/// The place in the binary of the first instruction of `director` that may be replaced.
fn dispensable(binary: &[u8]) -> Result<usize> {
    let start = object_in(binary).context("it carries no eBPF object")?;
    let file = ElfFile64::<LittleEndian>::parse(binary.get(start..).unwrap_or_default())?;
    let mut symbols = file.symbols();
    let director = symbols.find(|symbol| symbol.name() == Ok("director"));
    let director = director.context("the object has no program `director`")?;
    let section = director.section_index().context("`director` is nowhere")?;
    let section = file.section_by_index(section)?;
    let relocated: Vec<_> = section.relocations().map(|(offset, _)| offset).collect();
    let (offset, _) = section.file_range().context("`director` is not in it")?;
    let end = director.address() + director.size();
    let mut places = (director.address()..end).step_by(INSTRUCTION);
    let place = places.find(|place| {
        let instruction = section.data_range(*place, INSTRUCTION as u64);
        let Ok(Some([code, _, _, _, immediate @ ..])) = instruction else {
            return false;
        };
        let positive = immediate.last().is_some_and(|byte| byte & 0x80 == 0);
        *code == MOVE_32 && positive && !relocated.contains(place)
    });
    let place = place.context("`director` moves no number into a register")?;
    Ok(start + (offset + place) as usize)
}

fn object_in(binary: &[u8]) -> Option<usize> {
    const MAGIC: &[u8] = b"\x7fELF\x02\x01\x01";
    let aligned = (0..binary.len()).step_by(INSTRUCTION);
    let starts = aligned.filter(|&start| binary[start..].starts_with(MAGIC));
    let mut objects = starts.filter(|&start| {
        let header = FileHeader64::<LittleEndian>::parse(&binary[start..]);
        header.is_ok_and(|header| header.e_machine.get(LittleEndian) == EM_BPF)
    });
    objects.next()
}
