//! Python reprs, exceptions and JSON as Python writes it. Nothing is ever evaluated; what counts as the original arguments
//! must be exactly those, for it is published again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use taskplane_engine_celery::fuzzing;

fuzz_target!(|text: &str| {
    for saferepr in [true, false] {
        let (value, exact) = fuzzing::python_literal(text, saferepr);
        // Deeper than this is not followed, so that whatever walks the value later is safe too.
        assert!(depth(&value) <= 32);
        if exact {
            written_again_it_means_the_same(&value);
        }
    }
    fuzzing::exception(Some(text), None);
    fuzzing::exception(None, Some(text));
    let strict: Option<Value> = serde_json::from_str(text).ok();
    let lenient = fuzzing::python_json(text.as_bytes());
    if strict.is_some() {
        assert_eq!(lenient, strict, "leniency changes nothing of what is JSON");
    }
    if let Some(Value::Array(values)) = strict {
        fuzzing::python_literal(&fuzzing::args_repr(&values), true);
    }
});

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn written_again_it_means_the_same(value: &Value) {
    let written = match value {
        Value::Array(values) => fuzzing::args_repr(values),
        Value::Object(fields) => fuzzing::kwargs_repr(fields),
        _ => return,
    };
    let (again, exact) = fuzzing::python_literal(&written, true);
    if exact {
        assert_eq!(&again, value, "{written}");
    }
}
