//! Schedulers that send nothing, and schedules that did not run.

use super::subject;
use crate::api::types::{
    FoundProblem, FoundProblemKind as Kind, FoundProblemSeverity as Severity, FoundProblemSubjectType,
};
use crate::schedules::problem::SchedulerHealth;
use crate::wording::{agreeing, plural};

/// The problems of a scheduler. One that nobody watches is the trouble of its agent, which is told of by itself.
pub(super) fn of_scheduler(name: &str, health: &SchedulerHealth) -> Vec<FoundProblem> {
    let SchedulerHealth { overdue, missed, .. } = *health;
    if health.connected_agents.is_empty() {
        return Vec::new();
    }
    let problem = |kind, severity, title, cause: String| FoundProblem {
        kind,
        severity,
        subject: subject(FoundProblemSubjectType::Scheduler, name, None),
        title,
        cause,
        remedy: None,
        since: None,
    };
    if health.is_silent {
        let late = overdue + missed;
        let are = agreeing(late, "is", "are");
        let cause = format!("{} {are} overdue, and nothing else ran since.", plural(late, "schedule"));
        let silent = problem(Kind::SchedulerSilent, Severity::Error, format!("{name} sends nothing"), cause);
        let remedy = Some("See that its process runs and reaches its broker.".to_owned());
        return vec![FoundProblem { since: health.last_seen_at, remedy, ..silent }];
    }
    let mut found = Vec::new();
    if missed > 0 {
        let its = agreeing(missed, "its", "their");
        let title = format!("{} of {name} missed {its} last run", plural(missed, "schedule"));
        let cause = "There is no sign that they ran, though others did.".to_owned();
        found.push(problem(Kind::SchedulesMissed, Severity::Error, title, cause));
    }
    if overdue > 0 {
        let are = agreeing(overdue, "is", "are");
        let title = format!("{} of {name} {are} overdue", plural(overdue, "schedule"));
        let cause = "They should have run by now; there is no sign of it yet.".to_owned();
        found.push(problem(Kind::SchedulesOverdue, Severity::Warning, title, cause));
    }
    found
}

#[cfg(test)]
mod tests {
    use taskplane_model::Timestamp;

    use super::*;

    fn titles(health: SchedulerHealth) -> Vec<String> {
        of_scheduler("celery-beat", &health).into_iter().map(|problem| problem.title).collect()
    }

    fn watched(overdue: u64, missed: u64) -> SchedulerHealth {
        SchedulerHealth { overdue, missed, connected_agents: vec!["web".into()], ..SchedulerHealth::default() }
    }

    #[test]
    fn a_silent_scheduler_is_one_problem() {
        let silent = SchedulerHealth { is_silent: true, last_seen_at: Some(Timestamp(7)), ..watched(2, 3) };
        let found = of_scheduler("celery-beat", &silent);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].title.as_str(), found[0].since), ("celery-beat sends nothing", Some(Timestamp(7))));
        assert_eq!(found[0].cause, "5 schedules are overdue, and nothing else ran since.");
        assert!(titles(SchedulerHealth { connected_agents: Vec::new(), ..silent }).is_empty());
    }

    #[test]
    fn missed_and_overdue_runs_are_told_apart() {
        let expected = ["2 schedules of celery-beat missed their last run", "1 schedule of celery-beat is overdue"];
        assert_eq!(titles(watched(1, 2)), expected);
        assert!(titles(watched(0, 0)).is_empty());
    }
}
