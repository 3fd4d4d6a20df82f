//! What others have for a connection: commands to send, and the order to close.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use taskplane_protocol::close::CloseCode;
use taskplane_protocol::frame::Command;
use tokio::sync::Notify;

/// Most commands waiting for one connection.
const MAX_WAITING: usize = 64;

/// An order to close a connection.
pub(super) type Closing = (CloseCode, &'static str);

/// Where others leave what they have for a connection.
#[derive(Debug)]
pub(crate) struct Outbox(Arc<Mailbox>);

/// The connection's end. When it is dropped, nothing can be left any more.
#[derive(Debug)]
pub(super) struct Inbox(Arc<Mailbox>);

/// What a connection finds.
#[derive(Debug, PartialEq)]
pub(super) enum Letter {
    /// Close. Comes before every command, and once.
    Close(Closing),
    /// Send this.
    Command(Command),
}

/// What became of handing a command to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// It is in the connection's outbox.
    Done,
    /// The connection is gone.
    Gone,
    /// The outbox is full.
    Full,
}

/// Empty for nearly all agents nearly all the time: a channel, which makes room beforehand, takes five times as much.
#[derive(Debug)]
struct Mailbox {
    contents: Mutex<Contents>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Contents {
    commands: VecDeque<Command>,
    close: CloseOrder,
    is_abandoned: bool,
}

/// A connection is ordered to close once.
#[derive(Debug, Default)]
enum CloseOrder {
    #[default]
    NotGiven,
    Given(Closing),
    Taken,
}

/// An empty mailbox, from both sides.
pub(super) fn mailbox() -> (Outbox, Inbox) {
    let mailbox = Arc::new(Mailbox { contents: Mutex::default(), changed: Notify::new() });
    (Outbox(Arc::clone(&mailbox)), Inbox(mailbox))
}

impl Outbox {
    /// Leaves a command.
    pub(super) fn deliver(&self, command: Command) -> Delivery {
        let mut contents = self.0.lock();
        if contents.is_abandoned {
            return Delivery::Gone;
        }
        if contents.commands.len() >= MAX_WAITING {
            return Delivery::Full;
        }
        contents.commands.push_back(command);
        drop(contents);
        self.0.changed.notify_one();
        Delivery::Done
    }

    /// Orders the connection to close, if nobody has yet.
    pub(super) fn close(&self, code: CloseCode, reason: &'static str) {
        let mut contents = self.0.lock();
        if matches!(contents.close, CloseOrder::NotGiven) {
            contents.close = CloseOrder::Given((code, reason));
            drop(contents);
            self.0.changed.notify_one();
        }
    }
}

impl Inbox {
    /// What there is next. May be given up while it waits, without losing anything.
    pub(super) async fn next(&self) -> Letter {
        loop {
            if let Some(letter) = self.take() {
                return letter;
            }
            self.0.changed.notified().await;
        }
    }

    fn take(&self) -> Option<Letter> {
        let mut contents = self.0.lock();
        if let CloseOrder::Given(closing) = contents.close {
            contents.close = CloseOrder::Taken;
            return Some(Letter::Close(closing));
        }
        let command = contents.commands.pop_front();
        if contents.commands.is_empty() {
            contents.commands = VecDeque::new();
        }
        command.map(Letter::Command)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let mut contents = self.0.lock();
        contents.is_abandoned = true;
        contents.commands = VecDeque::new();
    }
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Contents> {
        // Single assignments and queue operations: a panic elsewhere cannot leave it half changed.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const REVOKED: Closing = (CloseCode::TokenRevoked, "revoked");

    fn command(id: usize) -> Command {
        serde_json::from_value(serde_json::json!({"cmd_id": id.to_string(), "cmd": "retry_task"})).expect("a command")
    }

    fn found(inbox: &Inbox) -> Option<Letter> {
        inbox.next().now_or_never()
    }

    #[test]
    fn commands_come_in_order_and_a_close_before_them() {
        let (outbox, inbox) = mailbox();
        assert_eq!(found(&inbox), None);
        assert_eq!(outbox.deliver(command(1)), Delivery::Done);
        assert_eq!(outbox.deliver(command(2)), Delivery::Done);
        outbox.close(REVOKED.0, REVOKED.1);
        outbox.close(CloseCode::Superseded, "too late");
        let letters = [(); 4].map(|()| found(&inbox));
        let expected =
            [Some(Letter::Close(REVOKED)), Some(Letter::Command(command(1))), Some(Letter::Command(command(2))), None];
        assert_eq!(letters, expected);
        outbox.close(CloseCode::Superseded, "once only");
        assert_eq!(found(&inbox), None);
    }

    #[test]
    fn it_holds_so_many_commands_and_none_for_nobody() {
        let (outbox, inbox) = mailbox();
        for id in 0..MAX_WAITING {
            assert_eq!(outbox.deliver(command(id)), Delivery::Done);
        }
        assert_eq!(outbox.deliver(command(64)), Delivery::Full);
        assert!(found(&inbox).is_some());
        assert_eq!(outbox.deliver(command(64)), Delivery::Done);
        drop(inbox);
        assert_eq!(outbox.deliver(command(65)), Delivery::Gone);
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let (outbox, inbox) = mailbox();
        let waiting = tokio::spawn(async move { (inbox.next().await, inbox.next().await) });
        tokio::task::yield_now().await;
        outbox.deliver(command(1));
        tokio::task::yield_now().await;
        outbox.close(REVOKED.0, REVOKED.1);
        assert_eq!(waiting.await.expect("ends"), (Letter::Command(command(1)), Letter::Close(REVOKED)));
    }
}
