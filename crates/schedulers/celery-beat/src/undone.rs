//! Changes that beat undoes: when it notes a run, it reads the whole row, sets its last run, and writes the whole row back. What
//! somebody changed in between is as it was before, and nobody is told.

use std::time::Duration;

use taskplane_agent::scheduler::ScheduleEntry;

use crate::periodic_task::PeriodicTask;

/// After so long a change is looked at again: beat takes milliseconds between reading and writing.
pub(crate) const LOOK_AFTER: Duration = Duration::from_millis(500);
/// How often a change is made at most.
pub(crate) const MAX_TRIES: usize = 3;

/// True when a schedule is again what it was `before` it was `made` what it should be (`None` when it was deleted).
pub(crate) fn is_undone(before: &PeriodicTask, made: Option<&PeriodicTask>, now: Option<&PeriodicTask>) -> bool {
    // One that runs once, beat switches off itself: switched on again, it would run twice.
    let runs_once = before.entry.facts.one_off == Some(true);
    let is_as_before = now.is_some_and(|now| definition(now) == definition(before));
    is_as_before && !runs_once && made.is_none_or(|made| definition(made) != definition(before))
}

/// What people set, without what beat notes.
fn definition(task: &PeriodicTask) -> ScheduleEntry {
    let mut entry = task.entry.clone();
    let facts = &mut entry.facts;
    (facts.last_run_at, facts.next_run_at, facts.total_run_count) = (None, None, None);
    entry
}

#[cfg(test)]
mod tests {
    use taskplane_model::Timestamp;

    use super::*;
    use crate::periodic_task::Columns;

    fn task(change: impl FnOnce(&mut Columns)) -> PeriodicTask {
        let mut columns = Columns { id: "7".into(), enabled: Some(true), ..Columns::default() };
        change(&mut columns);
        PeriodicTask::from(columns)
    }

    #[test]
    fn a_change_is_undone_when_all_is_as_before_but_the_last_run() {
        let before = task(|_| {});
        let paused = task(|columns| columns.enabled = Some(false));
        let written_back = task(|columns| {
            (columns.total_run_count, columns.last_run_at, columns.date_changed) =
                (Some(8), Some(Timestamp(5)), Some(Timestamp(6)));
        });
        assert!(is_undone(&before, Some(&paused), Some(&written_back)));
        assert!(is_undone(&before, None, Some(&written_back)), "the deleted row was inserted again");
        assert!(!is_undone(&before, Some(&paused), Some(&paused)));
        assert!(!is_undone(&before, None, None));
        assert!(
            !is_undone(&before, Some(&paused), Some(&task(|columns| columns.queue = Some("mail".into())))),
            "by others"
        );
        assert!(!is_undone(&before, Some(&before), Some(&written_back)), "nothing was changed");
    }

    #[test]
    fn one_that_runs_once_is_left_as_beat_leaves_it() {
        let off = task(|columns| (columns.one_off, columns.enabled) = (Some(true), Some(false)));
        let on = task(|columns| columns.one_off = Some(true));
        assert!(!is_undone(&off, Some(&on), Some(&off)));
    }
}
