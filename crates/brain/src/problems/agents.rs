//! Agents that do not see, or have not told everything.

use taskplane_model::agent::Agent;

use super::subject;
use crate::api::types::{
    FoundProblem, FoundProblemKind as Kind, FoundProblemSeverity as Severity, FoundProblemSubjectType,
};
use crate::gateway::AgentPresence;
use crate::wording::{agreeing, number, plural};

/// The problems of an agent, connected as `presence` says.
pub(super) fn of_agent(agent: &Agent, presence: Option<AgentPresence>) -> Vec<FoundProblem> {
    let name = &agent.name;
    let mut found = Vec::new();
    if presence.is_none() {
        let cause =
            "What happens in its queues is not seen until it is back; it keeps events meanwhile if its process lives.";
        let offline =
            problem(agent, Kind::AgentOffline, Severity::Error, format!("Agent {name} is offline"), cause.into());
        let remedy = Some("See that its process runs, and that it reaches the brain.".to_owned());
        found.push(FoundProblem { since: Some(agent.last_seen_at), remedy, ..offline });
    } else {
        for (adapter, state) in agent.adapters.iter().filter(|(_, state)| *state != "ok") {
            let title = format!("Agent {name} does not see all of {adapter}");
            found.push(problem(agent, Kind::EngineUnreached, Severity::Error, title, state.clone()));
        }
    }
    if let Some(trouble) = &agent.problem {
        let title = format!("Agent {name} has a problem");
        found.push(problem(agent, Kind::AgentProblem, Severity::Error, title, trouble.clone()));
    }
    if agent.lost_batches > 0 {
        let batches = agreeing(agent.lost_batches, "batch", "batches");
        let title = format!("Agent {name} lost {} {batches} of events", number(agent.lost_batches));
        let cause = "Some tasks of that time may show an old state.".to_owned();
        found.push(problem(agent, Kind::LostBatches, Severity::Warning, title, cause));
    }
    if agent.quarantined_events > 0 {
        let title = format!("{} from {name} could not be understood", plural(agent.quarantined_events, "event"));
        let cause = "They are kept in quarantine; the tasks they speak of may be incomplete.".to_owned();
        found.push(problem(agent, Kind::Quarantine, Severity::Warning, title, cause));
    }
    found
}

fn problem(agent: &Agent, kind: Kind, severity: Severity, title: String, cause: String) -> FoundProblem {
    let subject = subject(FoundProblemSubjectType::Agent, &agent.name, None);
    FoundProblem { kind, severity, subject, title, cause, remedy: None, since: None }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use taskplane_model::Timestamp;
    use taskplane_model::agent::AgentProfile;

    use super::*;

    fn agent() -> Agent {
        Agent {
            id: 1,
            name: "web".into(),
            profile: AgentProfile::default(),
            buffer: None,
            adapters: BTreeMap::from([("celery".to_owned(), "ok".to_owned())]),
            lost_batches: 0,
            quarantined_events: 0,
            problem: None,
            first_seen_at: Timestamp(1),
            last_seen_at: Timestamp(7),
        }
    }

    const HERE: Option<AgentPresence> =
        Some(AgentPresence { connections: 1, connected_at: Timestamp(1), last_heard: Timestamp(9) });

    fn titles(agent: &Agent, presence: Option<AgentPresence>) -> Vec<String> {
        of_agent(agent, presence).into_iter().map(|problem| problem.title).collect()
    }

    #[test]
    fn an_agent_that_is_well_has_none() {
        assert!(of_agent(&agent(), HERE).is_empty());
    }

    #[test]
    fn of_an_agent_that_is_offline_nobody_says_what_it_reaches() {
        let adapters = BTreeMap::from([("celery".to_owned(), "refused".to_owned())]);
        let agent = Agent { adapters, ..agent() };
        let offline = of_agent(&agent, None);
        assert_eq!(titles(&agent, None), ["Agent web is offline"]);
        assert_eq!((offline[0].kind, offline[0].since), (Kind::AgentOffline, Some(Timestamp(7))));
        let unreached = of_agent(&agent, HERE);
        assert_eq!(titles(&agent, HERE), ["Agent web does not see all of celery"]);
        assert_eq!((unreached[0].kind, unreached[0].cause.as_str()), (Kind::EngineUnreached, "refused"));
    }

    #[test]
    fn an_agents_own_problem_and_what_it_lost_are_told() {
        let agent =
            Agent { problem: Some("Its disk is full.".into()), lost_batches: 1, quarantined_events: 1_200, ..agent() };
        let found = of_agent(&agent, HERE);
        assert_eq!(
            titles(&agent, HERE),
            [
                "Agent web has a problem",
                "Agent web lost 1 batch of events",
                "1,200 events from web could not be understood"
            ]
        );
        let severities: Vec<_> = found.iter().map(|problem| problem.severity).collect();
        assert_eq!(severities, [Severity::Error, Severity::Warning, Severity::Warning]);
        assert_eq!(titles(&Agent { lost_batches: 2, ..self::agent() }, HERE), ["Agent web lost 2 batches of events"]);
    }
}
