use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use taskplane_model::agent::AgentProfile;

/// The first frame of every connection: who the agent is and what it can do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Hello {
    /// `v<major>` or `v<major>.<minor>`; equal majors are accepted.
    pub protocol: String,
    /// Name of the agent, unique in the project; 1 to 512 bytes without control characters.
    pub agent_name: String,
    /// The agent's stream: a UUID, made anew with every new buffer; at most 512 bytes. The empty string is the one stream of an
    /// agent that has none.
    #[serde(default, deserialize_with = "null_is_default")]
    pub instance_id: String,
    /// Framework of the host process, such as `django`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub framework: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub framework_version: Option<String>,
    /// Version of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// What the host process does, such as `web` or `worker`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_role: Option<String>,
    /// Queue engines that it observes, such as `celery`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub engines: Vec<String>,
    /// Schedulers that it observes, such as `celery-beat`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub schedulers: Vec<String>,
    /// What it can do: an object per engine and scheduler.
    #[serde(default)]
    pub capabilities: Value,
    /// Names of optional frames and commands that it understands or sends.
    #[serde(default, deserialize_with = "null_is_default")]
    pub extensions: Vec<String>,
    /// Host name, process id and the like, to be shown to people.
    #[serde(default)]
    pub metadata: Value,
}

impl Hello {
    /// What is kept of it.
    pub fn profile(&self) -> AgentProfile {
        AgentProfile {
            framework: self.framework.clone(),
            framework_version: self.framework_version.clone(),
            agent_version: self.agent_version.clone(),
            worker_role: self.worker_role.clone(),
            engines: self.engines.clone(),
            schedulers: self.schedulers.clone(),
            capabilities: self.capabilities.clone(),
            extensions: self.extensions.clone(),
            metadata: self.metadata.clone(),
        }
    }
}

/// Some peers write `null` where they have nothing to say.
pub(super) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
