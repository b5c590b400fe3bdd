//! What an interface is called.

use nix::net::if_::if_indextoname;

/// An interface for people: `eth0 (index 2)`.
pub fn name_of(index: u32) -> String {
    let name = if_indextoname(index).unwrap_or_default();
    match name.to_string_lossy() {
        name if name.is_empty() => format!("an interface that is gone (index {index})"),
        name => format!("{name} (index {index})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_called_by_its_name_where_it_has_one() {
        assert_eq!(name_of(1), "lo (index 1)");
        let gone = "an interface that is gone (index 2147483647)";
        assert_eq!(name_of(i32::MAX as u32), gone);
    }
}
