//! Which tasks: the query parameters that lists and counts share.

use serde::Deserialize;
use taskplane_model::Timestamp;
use taskplane_model::filter::{FilterError, TaskFilter};
use utoipa::IntoParams;

use crate::api::types::BulkFilter;

/// Which tasks. All parameters must be met; each also exists as a word of the filter language.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct FilterParams {
    /// Filter language: `state:failed name:billing.* queue:emails worker:w1 engine:celery id:… since:2h until:1h
    /// arg:order_id=17 "card declined" word`.
    #[param(example = "state:failed name:billing.*")]
    q: Option<String>,
    /// States, comma-separated.
    #[param(example = "failed,lost")]
    state: Option<String>,
    /// Task types, comma-separated; `*` stands for anything.
    name: Option<String>,
    /// Queues, comma-separated; `*` stands for anything.
    queue: Option<String>,
    /// Workers, comma-separated; `*` stands for anything.
    worker: Option<String>,
    /// First seen at or after: RFC 3339, or an age such as `90s`, `15m`, `1h`, `7d`.
    #[param(example = "2h")]
    since: Option<String>,
    /// First seen before: as `since`.
    until: Option<String>,
}

impl FilterParams {
    /// The filter that they mean. An empty parameter is as good as none.
    pub(in crate::api) fn filter(&self, now: Timestamp) -> Result<TaskFilter, FilterError> {
        let mut filter = TaskFilter::parse(self.q.as_deref().unwrap_or_default(), now)?;
        let terms = [
            ("state", &self.state),
            ("name", &self.name),
            ("queue", &self.queue),
            ("worker", &self.worker),
            ("since", &self.since),
            ("until", &self.until),
        ];
        for (key, value) in terms {
            if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
                filter.add_term(key, value, now)?;
            }
        }
        Ok(filter)
    }
}

impl From<BulkFilter> for FilterParams {
    fn from(filter: BulkFilter) -> Self {
        let BulkFilter { q, state, name, queue, worker, since, until, ids: _ } = filter;
        Self { q, state, name, queue, worker, since, until }
    }
}
