//! The file as written: which keys there are and what shape their values have.
//!
//! Single values stay [`Scalar`]s here, so that every value that makes no sense can be
//! reported at once, with its place, and not only the first.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys such as `services: [...]`")]
pub struct Document {
    #[serde(default)]
    pub interfaces: List<Scalar>,
    #[serde(default)]
    pub connections: Scalar,
    #[serde(default)]
    pub timeouts: Option<Timeouts>,
    #[serde(default)]
    pub services: List<Service>,
}

/// The mapping `timeouts`.
#[derive(Debug, Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a mapping like `{tcp: 900s, tcpfin: 120s, udp: 300s}`"
)]
pub struct Timeouts {
    #[serde(default)]
    pub tcp: Scalar,
    #[serde(default)]
    pub tcpfin: Scalar,
    #[serde(default)]
    pub udp: Scalar,
}

/// An item of `services`.
#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a mapping like `{address: IP:PORT, servers: [...]}`"
)]
pub struct Service {
    #[serde(default)]
    pub name: Scalar,
    pub address: Scalar,
    #[serde(default)]
    pub protocol: Scalar,
    #[serde(default)]
    pub scheduler: Scalar,
    #[serde(default)]
    pub forward: Scalar,
    /// Only known so that it can be refused by name.
    pub persistence: Option<IgnoredAny>,
    #[serde(default)]
    pub servers: List<Server>,
}

/// An item of `servers`.
#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a mapping like `{address: IP, weight: 1}`"
)]
pub struct Server {
    pub address: Scalar,
    #[serde(default)]
    pub weight: Scalar,
    #[serde(default)]
    pub forward: Scalar,
}

/// A value of one word or number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scalar {
    /// The key is not there.
    #[default]
    Absent,
    /// The key has no value.
    Empty,
    /// A string.
    Text(String),
    /// A number or a truth value, as YAML understood it: `1.10` is `1.1` here.
    Number(String),
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct AnyScalar;

        impl Visitor<'_> for AnyScalar {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a single value (in quotes if it has brackets or braces)")
            }

            fn visit_unit<E>(self) -> Result<Scalar, E> {
                Ok(Scalar::Empty)
            }

            fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(text.to_owned()))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar::Number(value.to_string()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar::Number(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar::Number(value.to_string()))
            }

            fn visit_i128<E>(self, value: i128) -> Result<Scalar, E> {
                Ok(Scalar::Number(value.to_string()))
            }

            fn visit_u128<E>(self, value: u128) -> Result<Scalar, E> {
                Ok(Scalar::Number(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar::Number(value.to_string()))
            }
        }

        from.deserialize_any(AnyScalar)
    }
}

/// A sequence; a key without a value is one without items.
#[derive(Debug)]
pub struct List<T>(pub Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct AnyList<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for AnyList<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list (`[a, b]`, or one `- ` for each item)")
            }

            fn visit_unit<E>(self) -> Result<List<T>, E> {
                Ok(List::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<List<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(List(list))
            }
        }

        from.deserialize_any(AnyList(PhantomData))
    }
}
