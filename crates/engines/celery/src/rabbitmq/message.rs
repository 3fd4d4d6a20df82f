//! Messages as AMQP has them: the body as it is, beside a table of headers.

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldArray, FieldTable, ShortString},
};
use serde_json::{Map, Number, Value};

use crate::{
    content::Content,
    message::{InvalidMessage, NewTask, Outgoing},
};

/// Deeper values are not read: no header of Celery is nested so far.
const MAX_DEPTH: usize = 32;

/// The body of a message that arrived.
pub(super) fn content(properties: &BasicProperties, body: Vec<u8>) -> Content {
    Content {
        content_type: properties.content_type().as_ref().map(|kind| kind.as_str().to_owned()),
        compression: header(properties, "compression"),
        body,
    }
}

/// A header that is text.
pub(super) fn header(properties: &BasicProperties, name: &str) -> Option<String> {
    match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}

/// A task's message: properties and body, with the headers read again and compared.
pub(super) fn build(new: &NewTask, outgoing: &Outgoing) -> Result<(BasicProperties, Vec<u8>), InvalidMessage> {
    let invalid = |why: &str| InvalidMessage(why.to_owned());
    let envelope = &outgoing.envelope;
    let headers = table(&envelope.headers).map_err(InvalidMessage)?;
    if read_table(&headers, 0) != envelope.headers {
        return Err(invalid("reading its headers again gives others"));
    }
    let content = envelope.content().map_err(|_| invalid("its body cannot be read again"))?;
    let id = ShortString::try_new(new.id.as_str()).map_err(|_| invalid("its id is too long"))?;
    let mut properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_correlation_id(id)
        .with_reply_to("".into())
        .with_headers(headers);
    if let Some(content_type) = &envelope.content_type {
        let content_type = ShortString::try_new(content_type.as_str());
        properties = properties.with_content_type(content_type.map_err(|_| invalid("its content type is too long"))?);
    }
    if let Some(encoding) = &envelope.content_encoding {
        let encoding = ShortString::try_new(encoding.as_str());
        properties =
            properties.with_content_encoding(encoding.map_err(|_| invalid("its content encoding is too long"))?);
    }
    if let Some(priority) = new.priority {
        let priority = u8::try_from(priority).map_err(|_| invalid("its priority is not from 0 to 255"))?;
        properties = properties.with_priority(priority);
    }
    Ok((properties, content.body))
}

/// A table of headers, typed as kombu would, or why it cannot be written.
pub(super) fn table(headers: &Map<String, Value>) -> Result<FieldTable, String> {
    let mut table = FieldTable::default();
    for (name, item) in headers {
        let name = ShortString::try_new(name.as_str()).map_err(|_| "a header's name is too long".to_owned())?;
        table.insert(name, value(item)?);
    }
    Ok(table)
}

fn value(item: &Value) -> Result<AMQPValue, String> {
    Ok(match item {
        Value::Null => AMQPValue::Void,
        Value::Bool(value) => AMQPValue::Boolean(*value),
        Value::Number(number) => number_value(number)?,
        Value::String(text) => AMQPValue::LongString(text.as_str().into()),
        Value::Array(items) => {
            let items: Result<Vec<AMQPValue>, String> = items.iter().map(value).collect();
            AMQPValue::FieldArray(FieldArray::from(items?))
        }
        Value::Object(fields) => AMQPValue::FieldTable(table(fields)?),
    })
}

fn number_value(number: &Number) -> Result<AMQPValue, String> {
    match (number.as_i64(), number.as_f64()) {
        (Some(whole), _) => Ok(i32::try_from(whole).map_or(AMQPValue::LongLongInt(whole), AMQPValue::LongInt)),
        (None, Some(double)) if number.is_f64() => Ok(AMQPValue::Double(double)),
        _ => Err("a header's number is too large".to_owned()),
    }
}

fn read_table(table: &FieldTable, depth: usize) -> Map<String, Value> {
    table.inner().iter().map(|(name, item)| (name.as_str().to_owned(), read_value(item, depth))).collect()
}

fn read_value(item: &AMQPValue, depth: usize) -> Value {
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    match item {
        AMQPValue::Boolean(value) => Value::Bool(*value),
        AMQPValue::LongInt(number) => Value::from(*number),
        AMQPValue::LongLongInt(number) => Value::from(*number),
        AMQPValue::Double(number) => Value::from(*number),
        AMQPValue::LongString(text) => Value::from(String::from_utf8_lossy(text.as_bytes())),
        AMQPValue::FieldArray(items) => items.as_slice().iter().map(|item| read_value(item, depth + 1)).collect(),
        AMQPValue::FieldTable(fields) => Value::Object(read_table(fields, depth + 1)),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        message::{Body, Payload},
        samples,
    };
    use serde_json::json;

    fn new_task() -> NewTask {
        let headers = json!({"x-mine": {"deep": [1, 2.5, "é", null, true, -5_000_000_000_i64]}, "retries": 3});
        NewTask {
            id: "11111111-2222-4333-8444-555555555555".into(),
            name: "proj.add".into(),
            body: Body::Read(Payload { args: vec![json!(1)], kwargs: Map::new(), ..Payload::default() }),
            headers: headers.as_object().cloned().expect("a map"),
            root_id: "r".into(),
            parent_id: None,
            queue: "celery".into(),
            priority: Some(5),
            eta: None,
            expires: None,
        }
    }

    #[test]
    fn a_message_has_the_headers_and_properties_that_celery_writes() {
        let new = new_task();
        let (properties, body) = build(&new, &new.outgoing().expect("valid")).expect("valid");
        let sample = samples::rabbitmq_message("task, basic.publish exchange '' routing_key = queue");
        let headers = read_table(properties.headers().as_ref().expect("headers"), 0);
        for name in sample["properties"]["headers"].as_object().expect("a map").keys() {
            assert!(headers.contains_key(name), "{name} is missing");
        }
        assert_eq!(headers["x-mine"], new.headers["x-mine"]);
        assert_eq!((*properties.delivery_mode(), *properties.priority()), (Some(2), Some(5)));
        let body: Value = serde_json::from_slice(&body).expect("JSON, not base64");
        assert_eq!(body[0], json!([1]));
        let content = content(&properties, b"{}".to_vec());
        assert_eq!(content.content_type.as_deref(), Some("application/json"));
    }

    #[test]
    fn what_amqp_cannot_carry_is_refused_before_it_is_sent() {
        for headers in [json!({"n": u64::MAX}), json!({"x".repeat(256): 1})] {
            let new = NewTask { headers: headers.as_object().cloned().expect("a map"), ..new_task() };
            assert!(build(&new, &new.outgoing().expect("valid")).is_err());
        }
        let new = NewTask { priority: Some(-1), ..new_task() };
        assert!(build(&new, &new.outgoing().expect("valid")).is_err());
    }
}
