//! Writes values as Celery's publishers show them in the `argsrepr` and `kwargsrepr` headers.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::python_literal::head;

/// Celery's own limit for the two headers.
const MAX_REPR: usize = 1024;

/// Positional arguments as a tuple, `(1, 'a')`.
pub(crate) fn args(values: &[Value]) -> String {
    let mut out = String::from("(");
    sequence(values, &mut out);
    if values.len() == 1 {
        out.push(',');
    }
    bounded(out, ')')
}

/// Keyword arguments as a dict, `{'a': 1}`.
pub(crate) fn kwargs(values: &Map<String, Value>) -> String {
    let mut out = String::from("{");
    entries(values, &mut out);
    bounded(out, '}')
}

fn bounded(mut out: String, close: char) -> String {
    let (kept, whole) = head(&out, MAX_REPR);
    if !whole {
        out = format!("{kept}, ...");
    }
    out.push(close);
    out
}

fn sequence(values: &[Value], out: &mut String) {
    for (i, item) in values.iter().enumerate() {
        // Nothing beyond the limit is shown: do not write megabytes first.
        if out.len() > MAX_REPR {
            return;
        }
        out.push_str(if i == 0 { "" } else { ", " });
        value(item, out);
    }
}

fn entries(values: &Map<String, Value>, out: &mut String) {
    for (i, (key, item)) in values.iter().enumerate() {
        if out.len() > MAX_REPR {
            return;
        }
        out.push_str(if i == 0 { "" } else { ", " });
        string(key, out);
        out.push_str(": ");
        value(item, out);
    }
}

fn value(item: &Value, out: &mut String) {
    match item {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(n) => {
            let _ = write!(out, "{n}");
        }
        Value::String(text) => string(text, out),
        Value::Array(items) => {
            out.push('[');
            sequence(items, out);
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            entries(map, out);
            out.push('}');
        }
    }
}

/// As saferepr does it: the only escape is that of the quote.
fn string(text: &str, out: &mut String) {
    let (kept, whole) = head(text, MAX_REPR);
    out.push('\'');
    out.push_str(&kept.replace('\'', "\\'"));
    out.push_str(if whole { "'" } else { "...'" });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python_literal::{Dialect, Fidelity, read};
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn arguments_look_as_python_writes_them() {
        assert_eq!(args(&[json!(1)]), "(1,)");
        assert_eq!(args(&[]), "()");
        assert_eq!(args(&[json!("it's"), json!([null, true, 1.5])]), "('it\\'s', [None, True, 1.5])");
        assert_eq!(kwargs(json!({"y": {"a": 1}}).as_object().expect("a map")), "{'y': {'a': 1}}");
    }

    #[test]
    fn long_arguments_are_cut_and_known_to_be_cut() {
        let long = args(&[json!("x".repeat(5000)), json!(1)]);
        assert!(long.len() < 1100);
        assert!(matches!(read(&long, Dialect::Saferepr).fidelity, Fidelity::Lossy(_)));
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_filter("JSON has no infinities", |f| f.is_finite()).prop_map(Value::from),
            "\\PC{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-z' ]{0,6}", inner, 0..4)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_counts_as_exact_is_exactly_what_was_written(values in proptest::collection::vec(json_value(), 0..4)) {
            let reading = read(&args(&values), Dialect::Saferepr);
            if reading.fidelity == Fidelity::Exact {
                prop_assert_eq!(reading.value, Value::Array(values));
            }
        }
    }
}
