//! `taskplane workers`.

use clap::{Args, Subcommand};

use super::ApiOptions;

#[derive(Args, Debug)]
pub(crate) struct WorkersCommand {
    #[command(flatten)]
    pub(crate) api: ApiOptions,
    #[command(subcommand)]
    pub(crate) verb: WorkersVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkersVerb {
    /// List workers.
    #[command(after_help = "Example:\n  taskplane workers list")]
    List,
    #[command(flatten)]
    Order(WorkerOrder),
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkerOrder {
    /// Ask workers whether they are there; without names, all.
    #[command(after_help = "Example:\n  taskplane workers ping celery@web-1")]
    Ping(AnyWorkers),
    /// Let workers run more tasks at once, until they restart.
    #[command(after_help = "Example:\n  taskplane workers grow celery@web-1 --by 2")]
    Grow(PoolOptions),
    /// Let workers run fewer tasks at once, until they restart.
    #[command(after_help = "Example:\n  taskplane workers shrink celery@web-1 --by 2")]
    Shrink(PoolOptions),
    /// Limit how often a task type is begun by each of these workers, until they restart.
    #[command(after_help = "Example:\n  taskplane workers rate-limit email.send 100/m celery@web-1")]
    RateLimit(RateLimitOptions),
    /// Let workers take tasks from one more queue, until they restart.
    #[command(after_help = "Example:\n  taskplane workers add-consumer reports celery@web-1")]
    AddConsumer(ConsumerOptions),
    /// Let workers take no more tasks from a queue, until they restart.
    #[command(after_help = "Example:\n  taskplane workers cancel-consumer reports celery@web-1")]
    CancelConsumer(ConsumerOptions),
    /// Let workers finish what they run, and end.
    #[command(after_help = "Example:\n  taskplane workers shutdown celery@web-1 --yes")]
    Shutdown(ShutdownOptions),
}

/// The engine of the workers.
#[derive(Args, Debug)]
pub(crate) struct WorkersEngine {
    /// The workers' engine.
    #[arg(long, default_value = "celery")]
    pub(crate) engine: String,
}

#[derive(Args, Debug)]
pub(crate) struct AnyWorkers {
    /// Names of workers; all without any.
    pub(crate) workers: Vec<String>,
    #[command(flatten)]
    pub(crate) of: WorkersEngine,
}

#[derive(Args, Debug)]
pub(crate) struct PoolOptions {
    /// Names of workers.
    #[arg(required = true)]
    pub(crate) workers: Vec<String>,
    /// How many processes or threads.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) by: u64,
    #[command(flatten)]
    pub(crate) of: WorkersEngine,
}

#[derive(Args, Debug)]
pub(crate) struct RateLimitOptions {
    /// The task type.
    pub(crate) task_name: String,
    /// At most so many: 10/s, 100/m or 1000/h; 0 for no limit.
    pub(crate) rate: String,
    /// Names of workers; all without any.
    pub(crate) workers: Vec<String>,
    #[command(flatten)]
    pub(crate) of: WorkersEngine,
}

#[derive(Args, Debug)]
pub(crate) struct ConsumerOptions {
    /// The queue.
    pub(crate) queue: String,
    /// Names of workers.
    #[arg(required = true)]
    pub(crate) workers: Vec<String>,
    #[command(flatten)]
    pub(crate) of: WorkersEngine,
}

#[derive(Args, Debug)]
pub(crate) struct ShutdownOptions {
    /// Names of workers.
    #[arg(required = true)]
    pub(crate) workers: Vec<String>,
    /// Do it. Without this, the command only says what would be done.
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) of: WorkersEngine,
}
