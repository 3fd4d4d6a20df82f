//! What the stored tasks are called, where they run and how they fail: enough of each that indexes and searches see what they
//! see in a real house. None of the names is one that the load of `ingest` uses, so that counts stay known while it runs.

/// Areas of the made-up house; with [`VERBS`] they make 200 task types.
const AREAS: [&str; 10] =
    ["billing", "orders", "emails", "inventory", "reports", "search", "images", "webhooks", "accounts", "exports"];
const VERBS: [&str; 20] = [
    "collect",
    "validate",
    "sync_ledger",
    "notify",
    "archive",
    "rebuild",
    "import_rows",
    "settle",
    "expire",
    "refresh",
    "merge",
    "publish",
    "enrich",
    "deduplicate",
    "audit",
    "forecast",
    "render",
    "translate",
    "rotate",
    "backfill",
];
/// Queues; of the last one only [`RARE_QUEUE_ONE_IN`] is used.
pub(crate) const QUEUES: [&str; 20] = [
    "priority",
    "bulk",
    "mailing",
    "ledger",
    "stock",
    "indexing",
    "thumbnails",
    "hooks",
    "signup",
    "csv",
    "retention",
    "fraud",
    "pricing",
    "shipping",
    "returns",
    "partners",
    "mobile",
    "nightly",
    "slow-lane",
    "migration-2019",
];
/// One task in so many runs in the last queue.
pub(crate) const RARE_QUEUE_ONE_IN: u64 = 5_000;
/// Workers that share the work; one more, [`RARE_WORKER`], takes one task in [`RARE_WORKER_ONE_IN`].
const WORKERS: usize = 99;
/// A worker that has run few tasks.
pub(crate) const RARE_WORKER: &str = "celery@canary-00";
/// See [`RARE_WORKER`].
pub(crate) const RARE_WORKER_ONE_IN: u64 = 20_000;
/// A word that only the messages of marked tasks have.
pub(crate) const RARE_WORD: &str = "quagmire";
/// Two words that follow one another in every marked task's message.
pub(crate) const RARE_PHRASE: &str = "quagmire ledger";
/// A word that many failed tasks have.
pub(crate) const COMMON_WORD: &str = "timeout";
/// A word that no task has.
pub(crate) const ABSENT_WORD: &str = "xylophonist";

const EXCEPTIONS: [&str; 10] = [
    "TimeoutError",
    "ConnectionResetError",
    "ValueError",
    "KeyError",
    "IntegrityError",
    "CardDeclined",
    "RateLimitExceeded",
    "ValidationError",
    "SoftTimeLimitExceeded",
    "PermissionDenied",
];
const MESSAGES: [&str; 5] = [
    "timeout while waiting for the upstream service",
    "the remote end closed the connection without a response",
    "card declined by the issuing bank",
    "duplicate key value violates a unique constraint",
    "field is required and was not given",
];

/// Names, and how often each is used.
pub(crate) struct Vocabulary {
    pub(crate) names: Vec<String>,
    /// Upper bounds of the names' shares, ascending to 1 (Zipf: the n-th name has 1/n of the first one's tasks).
    shares: Vec<f64>,
    pub(crate) workers: Vec<String>,
    /// Type, message and traceback of each kind of failure.
    pub(crate) failures: Vec<Failure>,
}

/// A kind of failure.
pub(crate) struct Failure {
    pub(crate) exception: &'static str,
    pub(crate) message: &'static str,
    pub(crate) traceback: String,
}

impl Vocabulary {
    pub(crate) fn new() -> Self {
        let count = AREAS.len() * VERBS.len();
        // Neighbours in rank come from different areas.
        let names: Vec<String> = (0..count)
            .map(|rank| format!("{}.{}", AREAS[rank % AREAS.len()], VERBS[(rank / AREAS.len() + rank) % VERBS.len()]))
            .collect();
        let whole: f64 = (1..=count).map(|rank| 1.0 / rank as f64).sum();
        let mut sum = 0.0;
        let shares = (1..=count).map(|rank| {
            sum += 1.0 / rank as f64 / whole;
            sum
        });
        let worker = |number| format!("celery@{}-{:02}", QUEUES[number % (QUEUES.len() - 1)], number / 10);
        let failures = (0..EXCEPTIONS.len() * MESSAGES.len()).map(Failure::new).collect();
        Self { shares: shares.collect(), names, workers: (0..WORKERS).map(worker).collect(), failures }
    }

    /// The rank of a name, for a random number from 0 to 1.
    pub(crate) fn name_at(&self, share: f64) -> usize {
        self.shares.partition_point(|bound| *bound < share).min(self.names.len() - 1)
    }

    /// The queue in which tasks of a name run.
    pub(crate) fn queue_of(name: usize) -> usize {
        name % (QUEUES.len() - 1)
    }
}

impl Failure {
    fn new(kind: usize) -> Self {
        let (exception, message) = (EXCEPTIONS[kind % EXCEPTIONS.len()], MESSAGES[kind / EXCEPTIONS.len()]);
        let mut traceback = String::from("Traceback (most recent call last):\n");
        for frame in 0..4 + kind % 5 {
            let (area, verb) = (AREAS[(kind + frame) % AREAS.len()], VERBS[(kind * 3 + frame) % VERBS.len()]);
            traceback.push_str(&format!(
                "  File \"/srv/app/{area}/{verb}.py\", line {}, in {verb}\n    return self.{verb}_once(order, retry={frame})\n",
                40 + kind * 7 + frame * 31
            ));
        }
        traceback.push_str(&format!("{exception}: {message}\n"));
        Self { exception, message, traceback }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn there_are_200_names_and_100_workers_all_different() {
        let vocabulary = Vocabulary::new();
        assert_eq!(vocabulary.names.iter().collect::<HashSet<_>>().len(), 200);
        assert_eq!(vocabulary.workers.iter().collect::<HashSet<_>>().len(), WORKERS);
        assert_eq!(vocabulary.failures.len(), 50);
    }

    #[test]
    fn the_first_name_is_the_most_used() {
        let vocabulary = Vocabulary::new();
        let uses = |rank| (0..10_000).filter(|n| vocabulary.name_at(f64::from(*n) / 10_000.0) == rank).count();
        assert!(uses(0) > 1_500 && uses(0) > uses(1) && uses(1) > uses(50) && uses(199) > 0);
    }
}
