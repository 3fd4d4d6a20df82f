//! Close codes. A code tells the agent what to do next.

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// Done.
    Normal = 1000,
    /// The brain shuts down or restarts.
    GoingAway = 1001,
    /// A frame was not a JSON object in UTF-8 text, or not of its type's form.
    Malformed = 1007,
    /// A frame was over the brain's limit.
    TooLarge = 1009,
    /// The brain cannot take more at the moment.
    Overloaded = 1013,
    /// The first frame was not `hello`, or none came in time.
    NoHello = 4000,
    /// Another major version of the protocol.
    VersionMismatch = 4001,
    /// The token was revoked.
    TokenRevoked = 4003,
    /// Nothing was heard for too long.
    HeartbeatTimeout = 4008,
    /// A newer connection of the same stream took over.
    Superseded = 4009,
}

/// What an agent does after a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconnect {
    /// Try again with backoff.
    Backoff,
    /// Try again, but only after the longest backoff: the brain asked for room, or another process claims the stream.
    LongBackoff,
    /// Do not try again until this program is upgraded.
    StopUntilUpgraded,
    /// Do not try again until the token changes.
    StopUntilTokenChanges,
}

impl CloseCode {
    /// The number on the wire.
    pub fn number(self) -> u16 {
        self as u16
    }

    /// Reads a number from the wire.
    pub fn from_number(number: u16) -> Option<Self> {
        [
            Self::Normal,
            Self::GoingAway,
            Self::Malformed,
            Self::TooLarge,
            Self::Overloaded,
            Self::NoHello,
            Self::VersionMismatch,
            Self::TokenRevoked,
            Self::HeartbeatTimeout,
            Self::Superseded,
        ]
        .into_iter()
        .find(|code| code.number() == number)
    }
}

/// What an agent does after a close with `number`; unknown numbers and broken connections mean [`Reconnect::Backoff`].
pub fn reconnect(number: Option<u16>) -> Reconnect {
    match number.and_then(CloseCode::from_number) {
        Some(CloseCode::VersionMismatch) => Reconnect::StopUntilUpgraded,
        Some(CloseCode::TokenRevoked) => Reconnect::StopUntilTokenChanges,
        Some(CloseCode::Overloaded | CloseCode::Superseded) => Reconnect::LongBackoff,
        _ => Reconnect::Backoff,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_says_what_to_do_next() {
        for (number, next) in [
            (1000, Reconnect::Backoff),
            (1001, Reconnect::Backoff),
            (1007, Reconnect::Backoff),
            (1009, Reconnect::Backoff),
            (1013, Reconnect::LongBackoff),
            (4000, Reconnect::Backoff),
            (4001, Reconnect::StopUntilUpgraded),
            (4003, Reconnect::StopUntilTokenChanges),
            (4008, Reconnect::Backoff),
            (4009, Reconnect::LongBackoff),
            (4999, Reconnect::Backoff),
        ] {
            assert_eq!(reconnect(Some(number)), next, "{number}");
        }
        assert_eq!(reconnect(None), Reconnect::Backoff);
    }
}
