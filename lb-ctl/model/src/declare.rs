//! How options are declared: see [`options`](crate::options).

/// Declares a set of options: a struct whose fields are written to JSON where they do not have
/// their default value, and a [`Row`] for each of them.
macro_rules! options {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident {
            $(#[doc = $help:literal] $field:ident: $type:ty = $default:expr,)*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $(#[doc = $help] pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap as _;
                let mut map = to.serialize_map(None)?;
                $(if self.$field != $default {
                    map.serialize_entry(stringify!($field), &self.$field)?;
                })*
                map.end()
            }
        }

        impl Options for $name {
            const ROWS: &'static [Row<Self>] = &[$(Row {
                key: stringify!($field),
                help: $help.trim_ascii(),
                hint: <$type as Value>::HINT,
                words: <$type as Value>::words,
                set: |options, word| {
                    options.$field = Value::from_text(word)?;
                    Ok(())
                },
                text: |options| Value::text(&options.$field),
                read: |options, value| {
                    options.$field = Value::from_file(value)?;
                    Ok(())
                },
                file: |options| Value::file(&options.$field),
                put: |options, value| {
                    options.$field = <$type>::deserialize(value).map_err(|error| {
                        Fault::new(format!("{}: {error}", stringify!($field)))
                    })?;
                    Ok(())
                },
                json: |options| serde_json::to_value(&options.$field).unwrap_or_default(),
                is_default: |options| options.$field == $default,
            },)*];
        }
    };
}
pub(crate) use options;
