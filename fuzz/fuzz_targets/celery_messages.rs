//! Bytes as they lie on Redis: entries of queues and of `unacked`, published events, results, replies of remote control.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taskplane_engine_celery::fuzzing;
use taskplane_fuzz::encodes_within_bounds;

fuzz_target!(|raw: &[u8]| {
    for message in [fuzzing::task_message(raw), fuzzing::unacked_entry(raw)].into_iter().flatten() {
        assert!(!message.sent.task_id.is_empty());
        encodes_within_bounds(message.sent);
        if let Some(again) = message.again {
            // Whatever can be read, and a worker could take, can be retried; a worker would survive the message.
            let again = again.expect("a readable task can be published again");
            assert!(fuzzing::task_message(&again).is_some());
        }
    }
    let (seen, _workers) = fuzzing::events(raw).unwrap_or_default();
    seen.into_iter().for_each(encodes_within_bounds);
    fuzzing::result(raw).into_iter().for_each(encodes_within_bounds);
    fuzzing::control_reply(raw, "ticket");
});
