//! What the brain's refusals mean for whoever gave the command.

use anyhow::{Error, anyhow};
use reqwest::StatusCode;
use serde_json::Value;

use crate::wrong_usage::WrongUsage;

/// One sentence for an answer that is no success: what is wrong, where, and what to do next.
pub(super) fn explained(status: StatusCode, problem: &Value, brain: &str) -> Error {
    let detail = problem["detail"].as_str().map(|detail| detail.trim_end_matches('.')).unwrap_or_default();
    match (status, problem["code"].as_str()) {
        (_, None) => {
            anyhow!("what answers at {brain} is no Taskplane brain ({status}): give the brain's address with --url")
        }
        (StatusCode::UNAUTHORIZED, _) => anyhow!(
            "the brain at {brain} refused the API key: make one on its host with `taskplane api-key create --role \
             operator`, and give it with TASKPLANE_API_KEY or --api-key"
        ),
        (_, Some("role_required")) => anyhow!(
            "the API key may not do this. {detail}: make another key on the brain's host with `taskplane api-key create \
             --role operator`"
        ),
        (_, Some("project_not_found")) => {
            anyhow!("{detail}, or the API key is for another one: give the key's own project with --project")
        }
        (_, Some("task_not_found")) => {
            anyhow!(
                "{detail}: `taskplane tasks list` names those that are, and --engine says which engine's task is meant"
            )
        }
        (_, Some("not_found")) => {
            anyhow!("the brain at {brain} cannot do this: is it of version {}?", env!("CARGO_PKG_VERSION"))
        }
        (StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY, _) => anyhow!(WrongUsage(detail.to_owned())),
        (_, Some(code)) if detail.is_empty() => anyhow!("the brain at {brain} refused: {code} ({status})"),
        _ => anyhow!("{detail}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(status: u16, problem: &Value) -> (String, bool) {
        let status = StatusCode::from_u16(status).expect("a status");
        let error = explained(status, problem, "http://brain/");
        (error.to_string(), error.is::<WrongUsage>())
    }

    #[test]
    fn refusals_say_what_to_do_next() {
        let cases = [
            (401, json!({"code": "unauthorized", "detail": "Sign in."}), "api-key create", false),
            (
                403,
                json!({"code": "role_required", "detail": "This needs the role operator."}),
                "--role operator",
                false,
            ),
            (404, json!({"code": "task_not_found", "detail": "No celery task."}), "tasks list", false),
            (404, json!({"code": "project_not_found", "detail": "No project."}), "--project", false),
            (
                400,
                json!({"code": "bad_filter", "detail": "The filter is not understood: x."}),
                "not understood: x",
                true,
            ),
            (429, json!({"code": "too_many_attempts", "detail": "Wait a minute."}), "Wait a minute", false),
            (404, json!(null), "is no Taskplane brain", false),
            (502, json!({"error": "bad gateway"}), "is no Taskplane brain", false),
        ];
        for (status, problem, says, wrong_usage) in cases {
            let (text, usage) = said(status, &problem);
            assert!(text.contains(says) && usage == wrong_usage, "{status} {problem}: {text}");
        }
    }
}
