//! What is told, in pieces that fit a notification, and put together again.

use std::collections::HashMap;

use taskplane_store::replicas::MAX_TOLD;

/// Most bytes of text in one notification; the server takes just under 8,000 with what stands in front.
const PART: usize = 7_500;
/// Most senders of whom something is half heard.
const MAX_SENDERS: usize = 256;

/// Cuts what `from` tells to `to` (0 means everybody) into notifications. `number` differs from that of what it told before.
pub(super) fn split(from: u32, to: u32, number: u64, text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    loop {
        let (piece, behind) = rest.split_at(rest.floor_char_boundary(PART));
        pieces.push(piece);
        rest = behind;
        if rest.is_empty() {
            break;
        }
    }
    let parts = pieces.len();
    let notification = |(part, piece)| format!("{from} {to} {number} {part} {parts} {piece}");
    pieces.into_iter().enumerate().map(notification).collect()
}

/// Puts together what `me` hears. The parts of one message come one behind the other, because they are one transaction.
pub(super) struct Joiner {
    me: u32,
    halves: HashMap<u32, Half>,
}

struct Half {
    number: u64,
    heard: usize,
    text: String,
}

/// What a notification has made whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// Nothing yet, or nothing for us.
    Nothing,
    /// What somebody told.
    Whole(u32, String),
    /// A part is missing, or nobody of ours wrote this.
    Broken,
}

impl Joiner {
    pub(super) fn new(me: u32) -> Self {
        Self { me, halves: HashMap::new() }
    }

    pub(super) fn take(&mut self, notification: &str) -> Joined {
        self.read(notification).unwrap_or(Joined::Broken)
    }

    fn read(&mut self, notification: &str) -> Option<Joined> {
        let mut fields = notification.splitn(6, ' ');
        let from: u32 = fields.next()?.parse().ok()?;
        let to: u32 = fields.next()?.parse().ok()?;
        let number: u64 = fields.next()?.parse().ok()?;
        let (part, parts): (usize, usize) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let text = fields.next()?;
        if from == self.me || (to != 0 && to != self.me) {
            return Some(Joined::Nothing);
        }
        if parts == 1 {
            return Some(Joined::Whole(from, text.to_owned()));
        }
        if part == 0 {
            if self.halves.len() >= MAX_SENDERS {
                self.halves.clear();
            }
            self.halves.insert(from, Half { number, heard: 1, text: text.to_owned() });
            return Some(Joined::Nothing);
        }
        let half = self.halves.get_mut(&from).filter(|half| half.number == number && half.heard == part)?;
        if half.text.len() + text.len() > MAX_TOLD {
            self.halves.remove(&from);
            return None;
        }
        half.text.push_str(text);
        half.heard += 1;
        if half.heard < parts {
            return Some(Joined::Nothing);
        }
        self.halves.remove(&from).map(|half| Joined::Whole(from, half.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_comes_back_whole_whatever_its_length() {
        let mut joiner = Joiner::new(7);
        for (number, text) in ["", "short", &"ä€😀".repeat(5_000), &" 1 2 3 ".repeat(4_000)].into_iter().enumerate()
        {
            let parts = split(3, 0, number as u64, text);
            assert!(parts.iter().all(|part| part.len() < 7_900));
            let (last, before) = parts.split_last().expect("at least one");
            assert!(before.iter().all(|part| joiner.take(part) == Joined::Nothing));
            assert_eq!(joiner.take(last), Joined::Whole(3, text.to_owned()));
        }
    }

    #[test]
    fn what_others_are_told_and_what_one_told_oneself_is_not_heard() {
        let mut joiner = Joiner::new(7);
        assert_eq!(joiner.take(&split(3, 8, 1, "for another")[0]), Joined::Nothing);
        assert_eq!(joiner.take(&split(7, 0, 1, "from oneself")[0]), Joined::Nothing);
        assert_eq!(joiner.take(&split(3, 7, 1, "for us")[0]), Joined::Whole(3, "for us".into()));
    }

    #[test]
    fn a_message_without_its_beginning_or_of_something_else_is_broken() {
        let mut joiner = Joiner::new(7);
        let parts = split(3, 0, 1, &"x".repeat(20_000));
        assert_eq!(joiner.take(&parts[1]), Joined::Broken);
        assert_eq!(joiner.take("nonsense"), Joined::Broken);
        assert_eq!(joiner.take(&parts[0]), Joined::Nothing);
        assert_eq!(joiner.take(&parts[2]), Joined::Broken);
    }

    #[test]
    fn senders_may_talk_at_once_and_nobody_fills_the_memory() {
        let mut joiner = Joiner::new(7);
        let (a, b) = (split(1, 0, 1, &"a".repeat(9_000)), split(2, 0, 1, &"b".repeat(9_000)));
        assert_eq!((joiner.take(&a[0]), joiner.take(&b[0])), (Joined::Nothing, Joined::Nothing));
        assert_eq!(joiner.take(&a[1]), Joined::Whole(1, "a".repeat(9_000)));
        assert_eq!(joiner.take(&b[1]), Joined::Whole(2, "b".repeat(9_000)));
        let endless = split(1, 0, 2, &"x".repeat(MAX_TOLD + PART));
        assert!(endless.iter().any(|part| joiner.take(part) == Joined::Broken));
    }
}
