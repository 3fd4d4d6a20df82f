//! What every implementation has to do, said in tests.
//!
//! An implementation gives a [`Subject`] and calls [`conformance_tests!`](crate::conformance_tests) in a test file of its
//! own; every statement below becomes one test on a store of its own.

#![expect(clippy::expect_used, reason = "these are tests; a store that fails has to stop them")]

use async_trait::async_trait;

use crate::Store;

pub mod access;
pub mod bulk;
pub mod commands;
pub mod counting;
pub mod filters;
pub mod fleet;
pub mod folding;
pub mod ingest;
pub mod lists;
pub mod lost;
pub mod persistence;
pub mod retention;
mod samples;
pub mod schedule_runs;
pub mod search;
pub mod statistics;
pub mod texts;
pub mod trees;

/// One database, empty at first.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The implementation.
    type Store: Store + 'static;

    /// Opens the database. Called again after the store it returned was dropped, it opens the same one.
    async fn open(&self) -> Self::Store;

    /// So many tasks are more than it keeps in one piece of whatever it keeps in pieces.
    fn more_than_a_piece(&self) -> usize {
        4_000
    }
}

/// Makes one test of every statement of the suite. Takes an expression that makes a fresh [`Subject`]; `tokio` with its
/// multi-threaded runtime has to be among the dependencies.
#[macro_export]
macro_rules! conformance_tests {
    ($subject:expr) => {
        $crate::conformance_tests!(@ $subject;
            ingest { streams_remember_where_they_stand, batches_are_stored_once, a_restarted_sequence_is_a_conflict,
                gaps_are_counted_as_lost, one_call_takes_many_streams, an_unknown_stream_is_refused_whole,
                changed_tasks_come_back, raw_batches_can_be_read_back, quarantined_events_are_counted,
                quarantined_events_come_in_pages }
            statistics { any_split_order_and_repetition_gives_the_same, late_facts_move_contributions,
                windows_have_all_their_steps, task_types_come_busiest_first }
            folding { folding_changes_no_answer, dropped_minutes_live_on_in_hours_and_days,
                what_is_not_folded_is_not_dropped }
            lists { tasks_are_found_by_id, pages_lose_and_repeat_nothing_while_tasks_come, pages_end,
                tasks_of_one_instant_are_all_listed, counts_equal_lists }
            filters { every_filter_finds_what_the_model_says, nonsense_finds_nothing, projects_are_apart }
            texts { every_text_comes_back_as_it_was, names_are_sorted_by_their_bytes }
            search { a_word_is_found_before_and_after_indexing, a_late_exception_is_found, a_late_move_is_found,
                a_late_task_is_found, filters_mean_the_same_with_the_index, indexers_take_turns }
            counting { counts_are_exact_with_censuses }
            trees { a_workflow_is_found_from_each_of_its_tasks, trees_are_bounded, a_lone_task_is_its_own_tree }
            fleet { agents_show_their_latest_word, workers_and_queues_merge,
                schedules_are_replaced_whole_or_changed_one_by_one, each_agent_tells_of_its_own_schedules }
            schedule_runs { runs_are_kept_once_for_each_due_time, the_latest_runs_stay, what_is_forgotten_is_gone,
                old_runs_are_dropped, each_scheduler_and_project_has_runs_of_its_own }
            commands { commands_begin_and_end_once, an_idempotency_key_is_used_once, retries_link_both_ways,
                retried_tasks_that_are_not_known_are_entered, open_commands_are_abandoned, commands_come_in_pages,
                the_brains_own_questions_stay_out_of_the_way }
            lost { a_task_is_lost_unless_something_is_known_since, lost_tasks_are_counted_and_found,
                a_lost_task_that_is_delivered_again_lives }
            bulk { jobs_are_recorded_once_and_listed, tasks_are_noted_before_a_job_begins,
                tasks_are_claimed_and_settled_once, no_task_is_taken_twice, ends_of_retried_tasks_count_once,
                what_a_cancelled_job_has_not_sent_is_free, old_jobs_are_dropped }
            access { there_is_a_default_project, agent_tokens_open_until_revoked, revoked_tokens_are_found_among_many,
                api_keys_open_their_project,
                signin_links_work_once, signin_links_and_sessions_expire, sessions_end, the_first_start_is_known,
                audit_is_kept_in_order }
            retention { tasks_are_dropped_by_age_and_failures_later, raw_events_are_dropped_by_age,
                steps_are_bounded_and_go_on_after_a_restart, dropped_tasks_do_not_come_back,
                what_is_left_is_found_however_much_was_dropped, records_and_signins_are_dropped,
                the_report_says_how_far_back_it_reaches }
            persistence { everything_is_there_after_a_restart, work_goes_on_after_a_restart, two_stores_share_one_database }
        );
    };
    (@ $subject:expr; $($module:ident { $($statement:ident),* $(,)? })*) => {
        $(mod $module {
            #[allow(unused_imports, reason = "the subject may be built from anything the caller sees")]
            use super::*;
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $statement() {
                $crate::conformance::$module::$statement(&$subject).await;
            })*
        })*
    };
}
