//! Which commands are asked for.

/// Which commands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandQuery {
    /// Only those about this task.
    pub task_id: Option<String>,
    /// Also the questions that the brain asked by itself, as far as they are kept.
    pub inquiries: bool,
}
