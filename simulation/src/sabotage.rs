//! Mistakes that the simulation must find, to show that it would find real ones.

/// One mistake, made by the simulation's own parts in the place of the real ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// The brain acks a batch as soon as it comes.
    AckBeforeStored,
    /// The brain acks a batch that the disk refused.
    AckWhatFailed,
    /// The brain stores the next batch of a connection of which it has refused one.
    StoresBehindRefused,
    /// The store does not look at sequence numbers.
    NoDeduplication,
    /// The store adds a changed task to the statistics and does not take back what it was before.
    StatisticsOnlyGrow,
    /// The store replaces what it knows of a task by what came last.
    LastWordCounts,
    /// After a reconnect the agent goes on with what is new and does not replay.
    NoReplay,
    /// The agent forgets a batch when it has sent it.
    ForgetWhatWasSent,
    /// The agent sends however much is unacked.
    NoWindow,
    /// Sealing does not reach the disk before the batch is sent.
    LyingDisk,
    /// The brain keeps reading whatever it cannot store.
    UnboundedMemory,
    /// The brain sends a command again when the agent has come back.
    CommandSentAgain,
    /// The agent does not remember which commands it was given.
    CommandsForgotten,
    /// The brain says of a command that was lost on its way that it was done.
    OptimisticOutcome,
    /// The brain says of a command that was lost on its way that it was not done.
    PessimisticOutcome,
}
