//! `GET /api/docs`: the OpenAPI document as one page, without scripts and without anybody else's server.

use std::fmt::Write;

use axum::response::Html;
use serde_json::Value;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}\
    code,pre{font:13px/1.5 ui-monospace,monospace}h3{margin-top:2em}p{white-space:pre-line}\
    table{border-collapse:collapse}td,th{text-align:left;vertical-align:top;padding:.15em 1em .15em 0}";

/// The page.
pub(super) fn page(document: &utoipa::openapi::OpenApi) -> Html<String> {
    let document = serde_json::to_value(document).unwrap_or_default();
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Taskplane API</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><style>{STYLE}</style></head><body><h1>Taskplane API</h1><p>{}</p>\
         <p>For programs: <a href=\"v1/openapi.json\">openapi.json</a></p><h2>Operations</h2>",
        text(&document["info"]["description"])
    );
    for (path, item) in entries(&document["paths"]) {
        for (method, operation) in entries(item) {
            html.push_str(&operation_html(path, method, operation));
        }
    }
    html.push_str("<h2>Types</h2>");
    for (name, schema) in entries(&document["components"]["schemas"]) {
        html.push_str(&schema_html(name, schema));
    }
    html.push_str("</body></html>\n");
    Html(html)
}

fn operation_html(path: &str, method: &str, operation: &Value) -> String {
    let mut html = format!(
        "<h3>{}</h3><pre>{} {}</pre><p>{}</p>",
        text(&operation["summary"]),
        method.to_uppercase(),
        escape(path),
        text(&operation["description"])
    );
    let parameters: Vec<&Value> = operation["parameters"].as_array().into_iter().flatten().collect();
    if !parameters.is_empty() {
        html.push_str("<table>");
        for parameter in parameters {
            let (name, place) = (text(&parameter["name"]), text(&parameter["in"]));
            row(&mut html, &format!("<code>{name}</code>"), &place, &text(&parameter["description"]));
        }
        html.push_str("</table>");
    }
    if let Some(body) = operation.pointer("/requestBody/content/application~1json/schema") {
        let _ = write!(html, "<p>Takes {}</p>", type_of(body));
    }
    for (status, response) in entries(&operation["responses"]).filter(|(status, _)| *status != "default") {
        let schemas = entries(&response["content"]).map(|(_, content)| type_of(&content["schema"]));
        let schemas: Vec<String> = schemas.collect();
        let _ = write!(html, "<p>{status}: {} {}</p>", text(&response["description"]), schemas.join(", "));
    }
    html
}

fn schema_html(name: &str, schema: &Value) -> String {
    let name = escape(name);
    let mut html = format!("<h3 id=\"{name}\">{name}</h3><p>{}</p><table>", text(&schema["description"]));
    let parts = schema["allOf"].as_array().into_iter().flatten().chain(std::iter::once(schema));
    for part in parts {
        if part["$ref"].is_string() {
            row(&mut html, "", &type_of(part), "everything of it");
        }
        for (field, of) in entries(&part["properties"]) {
            row(&mut html, &format!("<code>{}</code>", escape(field)), &type_of(of), &text(&of["description"]));
        }
    }
    let values = schema["enum"].as_array().into_iter().chain(schema["oneOf"].as_array()).flatten();
    for value in values {
        let value_text =
            value.as_str().or_else(|| value.pointer("/enum/0").and_then(Value::as_str)).unwrap_or_default();
        row(&mut html, &format!("<code>{}</code>", escape(value_text)), "", &text(&value["description"]));
    }
    html.push_str("</table>");
    html
}

fn row(html: &mut String, first: &str, second: &str, third: &str) {
    let _ = write!(html, "<tr><td>{first}</td><td>{second}</td><td>{third}</td></tr>");
}

/// A type in words, with links to the named ones.
fn type_of(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|target| target.rsplit('/').next()) {
        let name = escape(name);
        return format!("<a href=\"#{name}\">{name}</a>");
    }
    let alternatives = schema["oneOf"].as_array().into_iter().flatten().map(type_of).collect::<Vec<_>>();
    if !alternatives.is_empty() {
        return alternatives.join(" or ");
    }
    if schema["items"].is_object() {
        return format!("list of {}", type_of(&schema["items"]));
    }
    match &schema["type"] {
        Value::String(name) => escape(name),
        Value::Array(names) => names.iter().map(text).collect::<Vec<_>>().join(" or "),
        _ => "any".to_owned(),
    }
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
