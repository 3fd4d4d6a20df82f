//! Mistakes are found. A simulation that could not fail would prove nothing.

use taskplane_simulation::{Sabotage, run_sabotaged};

/// How a mistake shows itself within so many seeds.
fn found(sabotage: Sabotage, within: u64) -> String {
    let failure = (0..within).find_map(|seed| run_sabotaged(seed, sabotage).err());
    let failure = failure.unwrap_or_else(|| panic!("{sabotage:?} was not found within {within} seeds"));
    failure.violation.to_string()
}

#[test]
fn a_brain_that_acks_before_it_stores_is_found_out() {
    assert!(found(Sabotage::AckBeforeStored, 20).contains("is not stored"));
}

#[test]
fn a_brain_that_acks_what_the_disk_refused_is_found_out() {
    assert!(found(Sabotage::AckWhatFailed, 100).contains("is not stored"));
}

#[test]
fn a_brain_that_stores_what_comes_behind_a_refused_batch_is_found_out() {
    assert!(found(Sabotage::StoresBehindRefused, 400).contains("had not dropped it"));
}

#[test]
fn a_store_that_does_not_look_at_sequence_numbers_is_found_out() {
    assert!(found(Sabotage::NoDeduplication, 100).contains("stored twice"));
}

#[test]
fn statistics_that_only_grow_are_found_out() {
    assert!(found(Sabotage::StatisticsOnlyGrow, 20).contains("statistics"));
}

#[test]
fn a_store_in_which_the_last_word_counts_is_found_out() {
    assert!(found(Sabotage::LastWordCounts, 20).contains("is stored as"));
}

#[test]
fn an_agent_that_does_not_replay_is_found_out() {
    found(Sabotage::NoReplay, 100);
}

#[test]
fn an_agent_that_forgets_what_it_has_sent_is_found_out() {
    found(Sabotage::ForgetWhatWasSent, 100);
}

#[test]
fn an_agent_without_a_window_is_found_out() {
    assert!(found(Sabotage::NoWindow, 300).contains("in flight"));
}

#[test]
fn a_disk_that_lies_is_found_out() {
    found(Sabotage::LyingDisk, 300);
}

#[test]
fn a_brain_that_reads_on_whatever_it_cannot_store_is_found_out() {
    assert!(found(Sabotage::UnboundedMemory, 300).contains("in memory"));
}

#[test]
fn a_brain_that_sends_a_command_twice_is_found_out() {
    assert!(found(Sabotage::CommandSentAgain, 1_000).contains("executed 2 times"));
}

#[test]
fn an_agent_that_forgets_its_commands_is_found_out() {
    assert!(found(Sabotage::CommandsForgotten, 300).contains("executed 2 times"));
}

#[test]
fn a_brain_that_takes_lost_commands_for_done_is_found_out() {
    assert!(found(Sabotage::OptimisticOutcome, 300).contains("executed 0 times"));
}

#[test]
fn a_brain_that_takes_lost_commands_for_not_done_is_found_out() {
    assert!(found(Sabotage::PessimisticOutcome, 300).contains("executed 1 times"));
}
