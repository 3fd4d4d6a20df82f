//! What to do, in the words of each engine: people look for the name of a setting, not for what it means.

/// How a worker is made to send task events.
pub(super) fn turn_events_on(engine: &str) -> String {
    match engine {
        "celery" => "Start the worker with -E, or set worker_send_task_events = True in its application. An agent turns them on by \
                     itself unless it was started with --events off."
            .to_owned(),
        other => format!("Turn task events on in the settings of {other}."),
    }
}

/// What to do about ETAs that are further away than the broker waits.
pub(crate) fn raise_visibility_timeout(engine: &str) -> String {
    match engine {
        "celery" => {
            "Raise visibility_timeout in broker_transport_options above the longest ETA, in all workers and all \
                     senders, or use a schedule instead of an ETA."
                .to_owned()
        }
        other => format!(
            "Let the broker of {other} wait for longer than the longest ETA, or use a schedule instead of an ETA."
        ),
    }
}
