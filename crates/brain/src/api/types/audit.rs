//! The audit log.

use serde::Serialize;
use taskplane_model::Timestamp;
use taskplane_store::access;
use utoipa::ToSchema;

use super::page;

/// Something that somebody did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditEntry {
    /// Number.
    pub id: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What, such as `retry_task`.
    pub action: String,
    /// To what.
    pub target: Option<String>,
    /// More, for people.
    pub detail: Option<String>,
}

impl From<access::AuditEntry> for AuditEntry {
    fn from(entry: access::AuditEntry) -> Self {
        let access::AuditEntry { id, at, what, command_id: _ } = entry;
        let access::NewAudit { actor, action, target, detail } = what;
        Self { id: id.to_string(), at, actor, action, target, detail }
    }
}

page!(AuditEntryPage, AuditEntry, "A page of the audit log, newest first.");
