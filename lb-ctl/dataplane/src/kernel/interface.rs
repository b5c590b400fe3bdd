//! What an interface is called.

use nix::net::if_::if_indextoname;

/// An interface for people: `eth0 (index 2)`.
pub fn name_of(index: u32) -> String {
    match if_indextoname(index) {
        Ok(name) => format!("{} (index {index})", name.to_string_lossy()),
        Err(_) => format!("an interface that is gone (index {index})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_called_by_its_name_where_it_has_one() {
        assert_eq!(name_of(1), "lo (index 1)");
        assert_eq!(
            name_of(u32::MAX),
            "an interface that is gone (index 4294967295)"
        );
    }
}
