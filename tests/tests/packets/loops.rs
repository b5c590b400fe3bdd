//! What Linux 6.1 asks of loops, and newer kernels do not.
//!
//! Its verifier first walks the program's instructions depth first (`check_cfg` in
//! `kernel/bpf/verifier.c`). A loop is allowed only if a *jump* leads back to an instruction that
//! the walk has not left yet. Where an instruction that is no jump precedes the loop's first one,
//! and the loop was entered elsewhere, it says "back-edge from insn …" and refuses the program.
//! Compilers write such loops for nested iterators.

use std::collections::HashMap;

use lb_dataplane::raw::DIRECTOR;
use object::{File, Object, ObjectSection, ObjectSymbol, SymbolKind};

#[test]
fn the_program_has_loops_only_as_linux_6_1_takes_them() {
    let file = File::parse(DIRECTOR).expect("an ELF file");
    let mut functions = 0;
    for symbol in file
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text)
    {
        let Some(section) = symbol.section_index() else {
            continue;
        };
        let section = file.section_by_index(section).expect("a section");
        let code = section
            .data_range(symbol.address(), symbol.size())
            .expect("code")
            .expect("a whole function");
        let code: Vec<_> = code
            .as_chunks()
            .0
            .iter()
            .copied()
            .map(Instruction)
            .collect();
        let refused = back_edges(&code);
        assert!(
            refused.is_empty(),
            "{} has loops that Linux 6.1 refuses (from, to): {refused:?}\n\
             Look for iterators within iterators (`chain`, `zip`), and write a plain loop.",
            symbol.name().expect("a name")
        );
        functions += 1;
    }
    assert!(functions > 10, "only {functions} functions were found");
}

#[test]
fn a_loop_entered_in_its_middle_is_refused() {
    const JUMP: u8 = 0x05;
    const JUMP_IF_EQUAL: u8 = 0x15;
    const MOVE: u8 = 0xb7;
    const EXIT: u8 = 0x95;
    let code = |instructions: &[(u8, i16)]| -> Vec<_> {
        let one = |&(operation, offset): &(u8, i16)| {
            let [low, high] = offset.to_le_bytes();
            Instruction([operation, 0, low, high, 0, 0, 0, 0])
        };
        instructions.iter().map(one).collect()
    };
    // while: the jump at the end leads back.
    let plain = code(&[(JUMP_IF_EQUAL, 2), (MOVE, 0), (JUMP, -3), (EXIT, 0)]);
    assert_eq!(back_edges(&plain), []);
    // The first jump enters behind the move, and the move leads on to where it entered.
    let entered = code(&[(JUMP, 1), (MOVE, 0), (JUMP_IF_EQUAL, -2), (EXIT, 0)]);
    assert_eq!(back_edges(&entered), [(1, 2)]);
}

/// As it is in the file: operation, registers, offset, a number.
#[derive(Clone, Copy)]
struct Instruction([u8; 8]);

impl Instruction {
    /// Where the kernel's walk goes on, and whether a loop may close that way.
    fn successors(self, number: usize) -> Vec<(usize, bool)> {
        const JUMP: u8 = 5;
        const JUMP_32: u8 = 6;
        let [operation, _, low, high, ..] = self.0;
        let target =
            || number.wrapping_add_signed(1 + isize::from(i16::from_le_bytes([low, high])));
        match (operation & 7, operation >> 4) {
            // exit
            (JUMP, 9) => vec![],
            // goto
            (JUMP, 0) => vec![(target(), true)],
            // Anything but a call is a comparison.
            (JUMP | JUMP_32, kind) if kind != 8 => vec![(number + 1, true), (target(), true)],
            _ => vec![(number + 1, false)],
        }
    }
}

/// The loops that are refused: from which instruction to which one.
fn back_edges(code: &[Instruction]) -> Vec<(usize, usize)> {
    /// How many of an instruction's successors have been walked, and whether all have.
    struct Visit {
        next: usize,
        left: bool,
    }
    let mut refused = Vec::new();
    let mut visits = HashMap::from([(
        0,
        Visit {
            next: 0,
            left: false,
        },
    )]);
    let mut path = vec![0];
    while let Some(&number) = path.last() {
        let visit = visits.get_mut(&number).expect("a visit");
        let successor = code[number].successors(number).get(visit.next).copied();
        let Some((successor, may_close)) = successor else {
            visit.left = true;
            path.pop();
            continue;
        };
        visit.next += 1;
        match visits.get(&successor) {
            None => {
                visits.insert(
                    successor,
                    Visit {
                        next: 0,
                        left: false,
                    },
                );
                path.push(successor);
            }
            Some(visit) if !visit.left && !may_close => refused.push((number, successor)),
            Some(_) => {}
        }
    }
    refused
}
