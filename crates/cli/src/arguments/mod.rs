//! The command line. Every setting is also an environment variable, and every flag a key of `taskplane.toml`.

mod agents;
mod api;
mod ask_after;
mod backup;
mod conformance;
mod events;
mod keep;
mod limits;
mod problems;
mod queues;
mod replica;
mod schedules;
mod tasks;
mod tls;
mod workers;

pub(crate) use agents::{AgentsCommand, AgentsVerb};
pub(crate) use api::ApiOptions;
pub(crate) use ask_after::AskAfterOptions;
pub(crate) use backup::{BackupOptions, DoctorOptions, RestoreOptions};
pub(crate) use conformance::{ConformanceOptions, ReportFormat};
pub(crate) use events::TaskEvents;
pub(crate) use keep::KeepOptions;
pub(crate) use limits::LimitOptions;
pub(crate) use problems::ProblemsCommand;
pub(crate) use queues::{PurgeOptions, QueuesCommand, QueuesVerb};
pub(crate) use replica::ReplicaOptions;
pub(crate) use schedules::{
    ScheduleCreateOptions, ScheduleDeleteOptions, ScheduleNamed, ScheduleTiming, SchedulesCommand, SchedulesVerb,
};
pub(crate) use tasks::{
    CancelOptions, RetryMatchingOptions, RetryOptions, TaskListOptions, TaskShowOptions, TaskWhyOptions, TasksCommand,
    TasksVerb,
};
pub(crate) use tls::{ClientTlsOptions, ProxyOptions, ServerTlsOptions};
pub(crate) use workers::{WorkerOrder, WorkersCommand, WorkersVerb};

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Place in the help of what every command has: after its own.
const LAST: usize = 900;

/// One control plane for background-task queues.
#[derive(Debug, Parser)]
#[command(name = "taskplane", version, propagate_version = true, max_term_width = 110)]
pub(crate) struct Cli {
    /// Configuration file; the default is ./taskplane.toml if it is there.
    #[arg(long, global = true, env = "TASKPLANE_CONFIG", display_order = LAST)]
    pub(crate) config: Option<PathBuf>,
    /// What to log, such as `info` or `warn,taskplane_agent=debug`.
    #[arg(long, global = true, env = "TASKPLANE_LOG", default_value = "info", display_order = LAST)]
    pub(crate) log: String,
    /// How to log.
    #[arg(long, global = true, env = "TASKPLANE_LOG_FORMAT", default_value = "text", display_order = LAST)]
    pub(crate) log_format: LogFormat,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// JSON, one object a line.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server: history, dashboard, API.
    Brain(BrainOptions),
    /// Run the agent beside your queues.
    Agent(AgentOptions),
    /// Make tokens for agents.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Make keys for the API.
    #[command(subcommand)]
    ApiKey(ApiKeyCommand),
    /// Print a link that signs you in to the dashboard: 15 minutes, one use.
    #[command(after_help = "Example:\n  taskplane signin-link --data-dir ./taskplane-data")]
    SigninLink(SigninLinkOptions),
    /// Copy the brain's database while it runs.
    Backup(BackupOptions),
    /// Put a backup in the place of the brain's database.
    Restore(RestoreOptions),
    /// Look for what is wrong with the brain's database and its setup.
    Doctor(DoctorOptions),
    /// List what needs someone: queues that nothing consumes, workers that are gone, missed schedules, and more.
    #[command(after_help = "Example:\n  taskplane problems")]
    Problems(ProblemsCommand),
    /// Find, show, explain, retry and cancel tasks of a running brain.
    Tasks(TasksCommand),
    /// List and purge queues of a running brain.
    Queues(QueuesCommand),
    /// List, show and change schedules of a running brain, and run them now.
    Schedules(SchedulesCommand),
    /// List the workers that a running brain knows.
    Workers(WorkersCommand),
    /// List the agents that a running brain knows.
    Agents(AgentsCommand),
    /// Check rule by rule how a brain keeps the wire protocol.
    Conformance(ConformanceOptions),
}

/// Where the brain's data is.
#[derive(Args, Debug)]
pub(crate) struct StoreOptions {
    /// Folder of the embedded database; ./taskplane-data unless there is a --database-url.
    #[arg(long, env = "TASKPLANE_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// PostgreSQL database instead, such as postgres://user:password@host:5432/database; see docs/postgresql.md.
    #[arg(
        long,
        env = "TASKPLANE_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true,
        hide_default_value = true,
        conflicts_with = "data_dir"
    )]
    pub(crate) database_url: Option<String>,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
                  taskplane brain --listen 127.0.0.1:7440 --data-dir ./taskplane-data\n  \
                  taskplane brain --database-url postgres://taskplane:password@db/taskplane\n  \
                  taskplane brain --listen 0.0.0.0:7440 --tls-cert brain.pem --tls-key brain.key \\\n    \
                  --public-url https://tasks.example.com:7440\n  \
                  taskplane brain --public-url https://example.com/tasks --trusted-proxy 127.0.0.1")]
pub(crate) struct BrainOptions {
    /// Address to listen on.
    #[arg(long, env = "TASKPLANE_LISTEN", default_value = "127.0.0.1:7440")]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) proxy: ProxyOptions,
    #[command(flatten)]
    pub(crate) tls: ServerTlsOptions,
    /// Listen beyond this machine without TLS: only behind a proxy that adds TLS, or in a network you trust.
    #[arg(long, env = "TASKPLANE_INSECURE_BIND")]
    pub(crate) insecure_bind: bool,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
    #[command(flatten)]
    pub(crate) keep: KeepOptions,
    #[command(flatten)]
    pub(crate) ask_after: AskAfterOptions,
    #[command(flatten)]
    pub(crate) replica: ReplicaOptions,
    #[command(flatten)]
    pub(crate) store: StoreOptions,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  taskplane agent --brain ws://127.0.0.1:7440 --token T --celery redis://127.0.0.1:6379/0\n  \
                  taskplane agent --brain wss://tasks.example.com --ca-cert ca.pem --token-file T --celery redis://redis/0\n  \
                  taskplane agent … --celery 'rediss://:password@redis/0?ssl_ca_certs=/etc/redis/ca.pem'\n  \
                  taskplane agent … --celery 'sentinel://:password@s1:26379;sentinel://s2:26379/0?master_name=main'\n  \
                  taskplane agent … --celery 'amqps://user:password@rabbit-1/vhost;amqps://user:password@rabbit-2/vhost'\n\n\
                  What the application has in broker_use_ssl and broker_transport_options stands in\n\
                  the broker's URL, behind a question mark, in Celery's own names:\n  \
                  ssl_ca_certs, ssl_certfile, ssl_keyfile  TLS\n  \
                  ssl_cert_reqs=none                       TLS that checks nothing (Redis only)\n  \
                  master_name                              the master that Sentinel knows\n  \
                  sentinel_username, sentinel_password     what sentinel_kwargs has for Sentinel itself\n  \
                  global_keyprefix, fanout_prefix          what keys and channels on Redis begin with\n\
                  The result backend has a global_keyprefix of its own: give it with --celery-results.\n\n\
                  HTTPS_PROXY (HTTP_PROXY for ws://) and NO_PROXY are honoured."
)]
pub(crate) struct AgentOptions {
    /// Address of the brain: wss://host[:port][/path], or ws:// without TLS.
    #[arg(long, env = "TASKPLANE_BRAIN", value_name = "URL")]
    pub(crate) brain: String,
    #[command(flatten)]
    pub(crate) tls: ClientTlsOptions,
    /// The agent's token, from `taskplane token create` or the dashboard.
    #[arg(long, env = "TASKPLANE_TOKEN", hide_env_values = true, hide_default_value = true)]
    pub(crate) token: Option<String>,
    /// File that holds the token; it is read again when the brain refuses the token.
    #[arg(long, env = "TASKPLANE_TOKEN_FILE", conflicts_with = "token")]
    pub(crate) token_file: Option<PathBuf>,
    /// Name of this agent, unique in the project; the default is the host's name.
    #[arg(long, env = "TASKPLANE_NAME")]
    pub(crate) name: Option<String>,
    /// Broker of a Celery deployment, such as redis://127.0.0.1:6379/0 or amqp://user:password@rabbit/vhost; below is how to
    /// write TLS, Sentinel, several servers and key prefixes. Repeatable.
    #[arg(
        long,
        env = "TASKPLANE_CELERY",
        value_name = "URL",
        value_delimiter = ' ',
        hide_env_values = true,
        hide_default_value = true
    )]
    pub(crate) celery: Vec<String>,
    /// Result backend of the Celery deployment, if it is not the broker's database, or its keys have a prefix: redis://…,
    /// db+postgresql://…, db+mysql://… or db+sqlite:////path.db; for django-celery-results its database behind django-db+, as in
    /// django-db+postgresql://…. With several brokers, one for each, in their order.
    #[arg(
        long,
        env = "TASKPLANE_CELERY_RESULTS",
        value_name = "URL",
        value_delimiter = ' ',
        hide_env_values = true,
        hide_default_value = true
    )]
    pub(crate) celery_results: Vec<String>,
    /// Whether workers are to send task events. On, every step of a task is known, and each task costs its worker about 0.4 ms of
    /// CPU more; off, what results, queues and the workers themselves tell is all that is known.
    #[arg(long, env = "TASKPLANE_EVENTS", value_name = "on|off", default_value_t = TaskEvents::On)]
    pub(crate) events: TaskEvents,
    /// Database with django-celery-beat's tables: sqlite:///absolute/path.db, postgres://… or mysql://….
    #[arg(
        long,
        env = "TASKPLANE_CELERY_BEAT_DB",
        value_name = "URL",
        hide_env_values = true,
        hide_default_value = true
    )]
    pub(crate) celery_beat_db: Option<String>,
    /// Redis of RedBeat, if it is not the broker; on a Redis broker RedBeat is found without this.
    #[arg(long, env = "TASKPLANE_REDBEAT", value_name = "URL", hide_env_values = true, hide_default_value = true)]
    pub(crate) redbeat: Option<String>,
    /// What RedBeat's keys begin with: the application's redbeat_key_prefix.
    #[arg(long, env = "TASKPLANE_REDBEAT_PREFIX", value_name = "PREFIX", default_value = "redbeat:")]
    pub(crate) redbeat_prefix: String,
    /// Folder for the agent's buffer.
    #[arg(long, env = "TASKPLANE_DATA_DIR", default_value = "./taskplane-agent-data")]
    pub(crate) data_dir: PathBuf,
    /// More names of arguments whose values must never leave this host.
    #[arg(long, env = "TASKPLANE_REDACT_KEYS", value_delimiter = ',', value_name = "NAME")]
    pub(crate) redact_keys: Vec<String>,
    /// Which strings leave this host.
    #[arg(long, env = "TASKPLANE_REDACT_STRINGS", default_value = "short")]
    pub(crate) redact_strings: RedactStrings,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RedactStrings {
    /// Those of at most 16 characters that look like no secret.
    Short,
    /// All that look like no secret.
    PatternsOnly,
    /// None.
    MaskAll,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token for an agent and print it; it is shown only this once.
    #[command(after_help = "Example:\n  taskplane token create --project default --agent web-01")]
    Create(TokenCreateOptions),
}

#[derive(Args, Debug)]
pub(crate) struct TokenCreateOptions {
    /// Project that the agent reports to.
    #[arg(long, env = "TASKPLANE_PROJECT", default_value = "default")]
    pub(crate) project: String,
    /// The only agent name that may use it; without it, any agent of the project may.
    #[arg(long)]
    pub(crate) agent: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ApiKeyCommand {
    /// Make an API key and print it; it is shown only this once.
    #[command(after_help = "Example:\n  taskplane api-key create --project default --role operator")]
    Create(ApiKeyCreateOptions),
}

#[derive(Args, Debug)]
pub(crate) struct ApiKeyCreateOptions {
    /// Project that the key opens.
    #[arg(long, env = "TASKPLANE_PROJECT", default_value = "default")]
    pub(crate) project: String,
    /// What it may do.
    #[arg(long)]
    pub(crate) role: RoleName,
    #[command(flatten)]
    pub(crate) store: StoreOptions,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RoleName {
    /// See everything, change nothing.
    Viewer,
    /// Also give commands.
    Operator,
    /// Also make and revoke tokens.
    Admin,
}

#[derive(Args, Debug)]
pub(crate) struct SigninLinkOptions {
    /// Address under which the dashboard is reached; the default is where the brain of the folder listens.
    #[arg(long, env = "TASKPLANE_PUBLIC_URL")]
    pub(crate) public_url: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreOptions,
}
