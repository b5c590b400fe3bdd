//! Where the kernel keeps some fields of its structures, as its type information says: BTF
//! (`Documentation/bpf/btf.rst`). aya reads BTF too, but tells nobody the offsets of fields.

use std::{fs, sync::OnceLock};

use anyhow::{Context as _, Result, anyhow, bail};
use lb_common::layout::Offsets;

use super::namespace;

const PATH: &str = "/sys/kernel/btf/vmlinux";

/// Where the kernel that runs keeps what the packet path asks for.
pub fn offsets() -> Result<Offsets> {
    static FOUND: OnceLock<Result<Offsets, String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| find().map_err(|error| format!("{error:#}")));
    found.clone().map_err(|error| anyhow!(error))
}

fn find() -> Result<Offsets> {
    let bytes = fs::read(PATH).with_context(|| format!("cannot read {PATH}"))?;
    let types = Types::of(&bytes).with_context(|| format!("cannot understand {PATH}"))?;
    let offset = |structure: &str, field: &str| {
        let offset = types.offset(structure, field);
        offset.with_context(|| format!("{PATH} has no field `{field}` of `{structure}`"))
    };
    Ok(Offsets {
        device_index: offset("net_device", "ifindex")?,
        device_net: offset("net_device", "nd_net")?,
        net_cookie: offset("net", "net_cookie")?,
        program_aux: offset("bpf_prog", "aux")?,
        aux_id: offset("bpf_prog_aux", "id")?,
        namespace: namespace::current()?,
    })
}

const MAGIC: u16 = 0xeb9f;
const STRUCT: u32 = 4;
const UNION: u32 = 5;

/// The types of a kernel.
struct Types<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins in `types`, by number less one.
    begins: Vec<usize>,
}

/// The first three words of a type.
struct Head {
    name: u32,
    kind: u32,
    /// How many members or parameters follow.
    count: usize,
    /// Members' offsets have the size of a bit field in their upper byte.
    flag: bool,
}

impl<'a> Types<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self> {
        if bytes.get(..2) != Some(&MAGIC.to_ne_bytes()) {
            bail!("it does not begin as BTF does");
        }
        let word = |place| word(bytes, place).context("it is too short");
        let header = word(4)? as usize;
        let part = |at: u32, length: u32| {
            let at = header + at as usize;
            let part = bytes.get(at..at + length as usize);
            part.context("it is too short")
        };
        let mut this = Self {
            types: part(word(8)?, word(12)?)?,
            strings: part(word(16)?, word(20)?)?,
            begins: Vec::new(),
        };
        let mut at = 0;
        while at < this.types.len() {
            this.begins.push(at);
            at += this.length(at)?;
        }
        Ok(this)
    }

    fn head(&self, at: usize) -> Option<Head> {
        let info = word(self.types, at + 4)?;
        Some(Head {
            name: word(self.types, at)?,
            kind: info >> 24 & 0x1f,
            count: (info & 0xffff) as usize,
            flag: info >> 31 != 0,
        })
    }

    /// How long a type is.
    fn length(&self, at: usize) -> Result<usize> {
        let Head { kind, count, .. } = self.head(at).context("a type is cut off")?;
        // By kind: what follows the head.
        let follows = match kind {
            // Pointers, declarations, typedefs, qualifiers, functions, floats, type tags.
            2 | 7..=12 | 16 | 18 => 0,
            // Integers, variables, declaration tags.
            1 | 14 | 17 => 4,
            // Arrays.
            3 => 12,
            // Enumerations, function prototypes.
            6 | 13 => 8 * count,
            // Structures, unions, data sections, enumerations of 64 bits.
            STRUCT | UNION | 15 | 19 => 12 * count,
            _ => bail!("a type is of the unknown kind {kind}"),
        };
        Ok(12 + follows)
    }

    fn is_called(&self, name: u32, wanted: &str) -> bool {
        let rest = self.strings.get(name as usize..).unwrap_or_default();
        let rest = rest.strip_prefix(wanted.as_bytes());
        rest.is_some_and(|rest| rest.first() == Some(&0))
    }

    /// Where a field of a structure begins, in bytes.
    fn offset(&self, structure: &str, field: &str) -> Option<u32> {
        let called_so = self.begins.iter().filter(|&&at| {
            let head = self.head(at);
            head.is_some_and(|it| it.kind == STRUCT && self.is_called(it.name, structure))
        });
        { called_so }.find_map(|&at| self.offset_in(at, field))
    }

    /// The same of the structure or union that begins here, also in its parts without a name.
    fn offset_in(&self, at: usize, field: &str) -> Option<u32> {
        let Head {
            kind, count, flag, ..
        } = self.head(at)?;
        if kind != STRUCT && kind != UNION {
            return None;
        }
        (0..count).find_map(|number| {
            let member = at + 12 + 12 * number;
            let [name, type_number, offset] = [0, 4, 8].map(|part| word(self.types, member + part));
            let bits = offset? & if flag { 0x00ff_ffff } else { u32::MAX };
            if self.is_called(name?, field) {
                return Some(bits / 8);
            }
            if !self.is_called(name?, "") {
                return None;
            }
            let part = *self.begins.get((type_number? as usize).checked_sub(1)?)?;
            Some(bits / 8 + self.offset_in(part, field)?)
        })
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Types: an `int`, `union { int b; }` without a name, `struct s { int a; union { int b; }; }`.
    fn small() -> Vec<u8> {
        let strings = b"\0int\0a\0b\0s\0";
        let info = |kind: u32, count: u32| kind << 24 | count;
        let words: [u32; 4 + 6 + 9] = [
            1,
            info(1, 0),
            4,
            32, //
            0,
            info(UNION, 1),
            4,
            7,
            1,
            0, //
            9,
            info(STRUCT, 2),
            8,
            5,
            1,
            0,
            0,
            2,
            32,
        ];
        let types: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        let lengths = [24, 0, types.len(), types.len(), strings.len()];
        bytes.extend(
            lengths
                .iter()
                .flat_map(|length| (*length as u32).to_ne_bytes()),
        );
        bytes.extend(types);
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn fields_are_found_also_in_parts_without_a_name() {
        let bytes = small();
        let types = Types::of(&bytes).expect("types");
        let found = ["a", "b", "c", "in"].map(|field| types.offset("s", field));
        assert_eq!(found, [Some(0), Some(4), None, None]);
        assert_eq!(types.offset("int", "a"), None);
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        let bytes = small();
        for length in 0..bytes.len() {
            assert!(Types::of(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn the_kernel_that_runs_has_all_of_them() {
        let Offsets {
            device_index,
            device_net,
            net_cookie,
            program_aux,
            aux_id,
            namespace,
        } = find().expect("offsets");
        assert!(device_index != device_net && namespace != 0);
        assert!(
            [device_net, net_cookie, program_aux]
                .iter()
                .all(|it| it % 8 == 0)
        );
        assert!([device_index, aux_id].iter().all(|it| it % 4 == 0));
    }
}
