//! Reads what an agent answered about a task.

use serde_json::Value;
use taskplane_model::stuck::{Answer, Found};

/// Most clauses that are read.
const MAX_CLAUSES: usize = 20;

/// The answer about one task in the result of a `query_state`. What is not understood is unclear.
pub(super) fn answer(result: &Value, task_id: &str) -> Answer {
    let told = &result[task_id];
    let texts = |key: &str| told[key].as_array().into_iter().flatten().filter_map(Value::as_str);
    let is_unseen = |place: &str| texts("unseen").any(|unseen| unseen == place);
    Answer {
        found: told["state"].as_str().map(Found::from_state).unwrap_or_default(),
        evidence: texts("evidence").take(MAX_CLAUSES).map(str::to_owned).collect(),
        workers_answered: told["workers_answered"].as_u64().unwrap_or(0),
        workers_silent: texts("workers_silent").count() as u64,
        results_unseen: is_unseen("result_backend"),
        queues_unseen: is_unseen("queue"),
        unacked_unseen: is_unseen("unacked"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_said_is_read_and_what_is_not_is_unclear() {
        let result = json!({
            "t1": {"state": "unknown", "evidence": ["no result is stored", 7], "workers_answered": 2,
                "workers_silent": ["w3@h"], "unseen": ["queue", "somewhere"]},
            "t2": {"state": 5},
        });
        let read = answer(&result, "t1");
        assert_eq!(
            (read.found, read.evidence.len(), read.workers_answered, read.workers_silent),
            (Found::Nothing, 1, 2, 1)
        );
        assert_eq!((read.results_unseen, read.queues_unseen, read.unacked_unseen), (false, true, false));
        assert_eq!(
            [answer(&result, "t2"), answer(&result, "t3"), answer(&Value::Null, "t1")],
            [(); 3].map(|()| Answer::default())
        );
    }
}
