//! Bringing a value into the type that the catalogue gives its field.

use std::net::IpAddr;

use crate::field::Kind;
use crate::time::Timestamp;
use crate::value::Value;

/// A value in the form in which it will be stored.
pub(super) enum Stored<'a> {
    Text(std::borrow::Cow<'a, str>),
    I64(i64),
    F64(f64),
    Bool(bool),
    Time(Timestamp),
    Ip(IpAddr),
}

/// Brings a value into the kind of its field. Applying it to its own result, by way of JSON,
/// changes nothing: that is what keeps the two codecs equal.
pub(super) fn coerce(kind: Kind, value: Value<'_>) -> Stored<'_> {
    match (kind, value) {
        (Kind::Ip, Value::Ip(address)) => Stored::Ip(address.to_canonical()),
        (Kind::Date, Value::Time(time)) => Stored::Time(time),
        (Kind::Long | Kind::Date | Kind::Dynamic, Value::I64(number)) => Stored::I64(number),
        (Kind::Bool | Kind::Dynamic, Value::Bool(truth)) => Stored::Bool(truth),
        (Kind::Long | Kind::Double | Kind::Dynamic, Value::F64(number)) if number.is_finite() => {
            Stored::F64(number)
        }
        #[expect(clippy::cast_precision_loss, reason = "a field of kind double asked for it")]
        (Kind::Double, Value::I64(number)) => Stored::F64(number as f64),
        (_, Value::Str(text)) => coerce_text(kind, text),
        (_, other) => Stored::Text(other.to_text()),
    }
}

fn coerce_text(kind: Kind, text: &str) -> Stored<'_> {
    let typed = match kind {
        Kind::Ip => text.parse::<IpAddr>().ok().map(|ip| Stored::Ip(ip.to_canonical())),
        Kind::Long => text.parse().ok().map(Stored::I64),
        Kind::Double => text.parse().ok().filter(|n: &f64| n.is_finite()).map(Stored::F64),
        Kind::Bool => text.parse().ok().map(Stored::Bool),
        Kind::Date => Timestamp::parse_rfc3339(text).map(Stored::Time),
        Kind::Keyword | Kind::Text | Kind::Dynamic => None,
    };
    typed.unwrap_or(Stored::Text(text.into()))
}
