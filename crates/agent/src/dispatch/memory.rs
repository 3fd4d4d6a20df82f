//! Which commands were seen: what makes them at most once.

use std::collections::{HashMap, VecDeque};

use taskplane_protocol::frame::CommandResult;

/// Most answers that are remembered.
const MAX_ANSWERS: usize = 10_000;
/// Most bytes of them, about.
const MAX_BYTES: usize = 16 << 20;

/// What is known of a command that came.
#[derive(Debug, PartialEq)]
pub(super) enum Seen {
    /// It is new.
    Never,
    /// It is being executed; the answer will come.
    InProgress,
    /// It was answered so.
    Answered(CommandResult),
}

/// The last answers, and the commands in progress. Both are bounded: these by the number of slots, those here.
#[derive(Default)]
pub(super) struct Memory {
    /// `None` while in progress.
    commands: HashMap<String, Option<CommandResult>>,
    /// Answered ones, oldest first, with their sizes.
    answered: VecDeque<(String, usize)>,
    bytes: usize,
}

impl Memory {
    pub(super) fn seen(&self, cmd_id: &str) -> Seen {
        match self.commands.get(cmd_id) {
            None => Seen::Never,
            Some(None) => Seen::InProgress,
            Some(Some(result)) => Seen::Answered(result.clone()),
        }
    }

    pub(super) fn begin(&mut self, cmd_id: &str) {
        self.commands.insert(cmd_id.to_owned(), None);
    }

    /// Remembers an answer, and forgets the oldest ones when there are too many.
    pub(super) fn answer(&mut self, result: &CommandResult) {
        let bytes = size(result);
        self.commands.insert(result.cmd_id.clone(), Some(result.clone()));
        self.answered.push_back((result.cmd_id.clone(), bytes));
        self.bytes += bytes;
        while self.answered.len() > MAX_ANSWERS || (self.bytes > MAX_BYTES && self.answered.len() > 1) {
            let Some((oldest, bytes)) = self.answered.pop_front() else { break };
            self.commands.remove(&oldest);
            self.bytes -= bytes;
        }
    }
}

fn size(result: &CommandResult) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let value = result.result.as_ref().map_or(0, |value| value.to_string().len());
    // A parsed value takes about twice its text, and each entry some room of its own.
    256 + 2 * result.cmd_id.len() + 2 * value + text(&result.error) + text(&result.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(id: usize) -> CommandResult {
        CommandResult { cmd_id: id.to_string(), ok: true, ..CommandResult::default() }
    }

    #[test]
    fn a_command_is_new_then_in_progress_then_answered() {
        let mut memory = Memory::default();
        assert_eq!(memory.seen("1"), Seen::Never);
        memory.begin("1");
        assert_eq!(memory.seen("1"), Seen::InProgress);
        memory.answer(&result(1));
        assert_eq!(memory.seen("1"), Seen::Answered(result(1)));
    }

    #[test]
    fn the_oldest_answers_are_forgotten_by_number_and_by_size() {
        let mut memory = Memory::default();
        for id in 0..=MAX_ANSWERS {
            memory.answer(&result(id));
        }
        assert_eq!((memory.seen("0"), memory.seen("1")), (Seen::Never, Seen::Answered(result(1))));
        let large = CommandResult { result: Some(serde_json::json!("x".repeat(MAX_BYTES))), ..result(7_000_000) };
        memory.answer(&large);
        assert_eq!((memory.commands.len(), memory.answered.len()), (1, 1));
    }
}
