//! The content of downloads. It is the same on every server. A byte that is lost, sent twice or
//! swapped with another is noticed.

const WORD: u64 = 8;

/// `length` bytes, beginning at an offset.
#[must_use]
pub fn bytes(offset: u64, length: usize) -> Vec<u8> {
    let skipped = (offset % WORD) as usize;
    let mut bytes = Vec::with_capacity(skipped + length + WORD as usize);
    let mut index = offset / WORD;
    while bytes.len() < skipped + length {
        // Words from a multiplicative hash do not repeat. With a repeating pattern, a lost segment
        // of just that length would go unnoticed.
        let word = (index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        bytes.extend_from_slice(&word.to_be_bytes());
        index += 1;
    }
    bytes.truncate(skipped + length);
    bytes.split_off(skipped)
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn a_part_is_what_the_whole_has_there() {
        let whole = bytes(0, 100);
        for offset in 0..whole.len() {
            let rest = &whole[offset..];
            assert_eq!(bytes(offset as u64, rest.len()), rest);
        }
    }
}
