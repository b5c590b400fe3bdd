//! Enums that are stored in maps as numbers.

/// Declares an enum with numbers, and writes from the same list of variants `ALL` and `of_number`,
/// which reads a number back and has no default. So no variant is missing in either.
macro_rules! numbered {
    (
        $(#[$attribute:meta])*
        pub enum $name:ident: $number:ident {
            $($(#[$comment:meta])* $variant:ident = $value:literal,)+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr($number)]
        pub enum $name {
            $($(#[$comment])* $variant = $value,)+
        }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The one that has this number, if any has.
            #[inline(always)]
            #[must_use]
            pub const fn of_number(number: $number) -> Option<Self> {
                match number {
                    $($value => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

pub(crate) use numbered;
