use serde::{Deserialize, Serialize};

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Tasks changed.
    Tasks,
    /// Commands changed.
    Commands,
    /// Agents came, went, or reported.
    Agents,
    /// Workers changed.
    Workers,
    /// Queues were sampled.
    Queues,
    /// Bulk jobs got on.
    Bulk,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 6] = [Self::Tasks, Self::Commands, Self::Agents, Self::Workers, Self::Queues, Self::Bulk];

    /// The name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tasks => "tasks",
            Self::Commands => "commands",
            Self::Agents => "agents",
            Self::Workers => "workers",
            Self::Queues => "queues",
            Self::Bulk => "bulk",
        }
    }

    /// Reads a topic's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }
}
