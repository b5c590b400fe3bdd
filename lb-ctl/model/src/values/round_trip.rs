//! For the tests of all values.

use std::fmt;

use super::Value;

/// A value comes back from each of the three ways in which it is written.
pub fn comes_back<T: Value + fmt::Debug>(value: T) {
    assert_eq!(T::from_text(&value.text()).as_ref(), Ok(&value));
    assert_eq!(T::from_file(&value.file()).as_ref(), Ok(&value));
    let json = serde_json::to_value(&value).unwrap();
    assert_eq!(serde_json::from_value::<T>(json).unwrap(), value);
}
