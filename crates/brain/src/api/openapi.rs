//! The document that describes the API (OpenAPI 3.1), made from the same table that serves it.

use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};

use super::problem::{PROBLEM_JSON, ProblemDocument};
use super::router::table;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Taskplane API",
        version = "v1",
        description = "Lists are `{\"items\": […], \"next_cursor\": …}`, times RFC 3339 in UTC, errors problem documents \
                       (RFC 9457). Send an API key as `Authorization: Bearer <key>`, or use a signed-in browser's cookie."
    ),
    components(schemas(ProblemDocument)),
    security(("api_key" = []), ("session" = [])),
    tags(
        (name = "tasks", description = "Tasks, their events and workflows"),
        (name = "statistics", description = "What happened over time"),
        (name = "fleet", description = "Agents, workers and queues"),
        (name = "schedules", description = "Schedules, their runs, and their schedulers"),
        (name = "commands", description = "What people ask agents to do"),
        (name = "live", description = "What changes, as it does"),
        (name = "access", description = "Sessions, tokens and the audit log")
    )
)]
pub(super) struct Document;

/// The document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    completed(table().into_openapi())
}

/// Adds what all operations share: how to come in, and that every error is a problem document.
pub(super) fn completed(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    document.info.license = None;
    let components = document.components.get_or_insert_default();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("tpk_…").build();
    components.add_security_scheme("api_key", SecurityScheme::Http(bearer));
    let cookie = ApiKey::Cookie(ApiKeyValue::new("taskplane_session"));
    components.add_security_scheme("session", SecurityScheme::ApiKey(cookie));
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        operation.responses.responses.insert("default".to_owned(), RefOr::T(problem()));
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch].into_iter().flatten()
}

fn problem() -> Response {
    let schema = Ref::from_schema_name("Problem");
    ResponseBuilder::new().description("Why it was not done").content(PROBLEM_JSON, Content::new(Some(schema))).build()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn document() -> Value {
        serde_json::to_value(openapi()).expect("serializes")
    }

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(target)) = map.get("$ref") {
                    found.insert(target.clone());
                }
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_resolves() {
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.contains("#/components/schemas/Problem"), "{found:?}");
        for target in found {
            assert!(document.pointer(target.trim_start_matches('#')).is_some(), "{target} does not resolve");
        }
    }

    #[test]
    fn every_operation_has_an_id_of_its_own_and_says_what_it_does() {
        let document = document();
        let mut ids = BTreeSet::new();
        let paths = document["paths"].as_object().expect("paths");
        for (path, operation) in paths.iter().flat_map(|(path, item)| {
            item.as_object().into_iter().flatten().map(move |(_, operation)| (path, operation))
        }) {
            let id = operation["operationId"].as_str().unwrap_or_default();
            assert!(ids.insert(id.to_owned()) && !id.is_empty(), "{path}: operationId {id:?}");
            assert!(operation["summary"].is_string(), "{path} has no summary");
            assert!(operation["responses"]["default"].is_object(), "{path} does not say how it fails");
        }
        assert!(ids.len() >= 20, "{ids:?}");
    }
}
