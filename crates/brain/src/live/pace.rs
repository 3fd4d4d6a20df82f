use std::time::Duration;

use tokio::time::Instant;

use super::TICKS_PER_SECOND;

const EVERY: Duration = Duration::from_millis(1_000 / TICKS_PER_SECOND);
/// After a while without changes, how long the first one waits for those that come with it.
const GATHER: Duration = Duration::from_millis(5);
/// How much longer than necessary a pause may be, for a reader to come to its own turn.
const STRETCH: Duration = Duration::from_millis(10);

/// When a reader is told next. Changes after a quiet while are told at once. While they do not stop, what is told keeps its
/// distance, without drifting. A change after a quiet while is told to all readers at the same time, which costs the last of them some
/// milliseconds; from then on each comes, pause by pause, to a turn of its own.
pub(super) struct Pace {
    due: Instant,
    /// One of its turns.
    turn: Instant,
}

impl Pace {
    /// The pace of the reader that came as number `number` to a hub that began at `began`.
    pub(super) fn new(number: u64, began: Instant) -> Self {
        // Multiples of the golden ratio lie apart, however many there are.
        let part = (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as f64 / 2_f64.powi(32);
        Self { due: began, turn: began + EVERY.mul_f64(part) }
    }

    /// When the next changes may be told.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Something changed after nothing had.
    pub(super) fn changed(&mut self, now: Instant) {
        self.due = self.due.max(now + GATHER);
    }

    /// All changes were told.
    pub(super) fn told(&mut self, now: Instant) {
        let is_in_time = now.saturating_duration_since(self.due) < EVERY;
        let next = if is_in_time { self.due } else { now } + EVERY;
        self.due = next + self.until_turn(next).min(STRETCH);
    }

    fn until_turn(&self, at: Instant) -> Duration {
        let beyond = at.saturating_duration_since(self.turn).as_nanos() % EVERY.as_nanos();
        let left = if beyond == 0 { 0 } else { EVERY.as_nanos() - beyond };
        u64::try_from(left).map_or(EVERY, Duration::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When a reader is told, that is always told when it is due.
    fn told(pace: &mut Pace, times: usize) -> Vec<Instant> {
        (0..times)
            .map(|_| {
                let now = pace.due();
                pace.told(now);
                now
            })
            .collect()
    }

    #[test]
    fn the_first_change_is_told_at_once_and_the_rest_at_a_distance() {
        let began = Instant::now();
        let mut pace = Pace::new(3, began);
        let later = began + Duration::from_secs(100);
        pace.changed(later);
        assert_eq!(pace.due(), later + GATHER);
        let told = told(&mut pace, 100);
        assert!(told.windows(2).all(|two| two[1] - two[0] >= EVERY && two[1] - two[0] <= EVERY + STRETCH));
    }

    #[test]
    fn what_was_told_a_little_late_does_not_shift_the_rest() {
        let began = Instant::now();
        let mut pace = Pace::new(0, began);
        pace.told(began + EVERY / 2);
        assert_eq!(pace.due(), began + EVERY);
        pace.told(began + 3 * EVERY);
        assert!(pace.due() >= began + 4 * EVERY, "not two at once");
    }

    #[test]
    fn many_readers_that_begin_together_come_to_turns_of_their_own() {
        let began = Instant::now();
        let mut turns: Vec<Duration> = (0..200)
            .map(|number| {
                let mut pace = Pace::new(number, began);
                let last = *told(&mut pace, 40).last().expect("some");
                Duration::from_nanos((last - began).as_nanos() as u64 % EVERY.as_nanos() as u64)
            })
            .collect();
        turns.sort_unstable();
        let apart = turns.windows(2).map(|two| two[1] - two[0]).max().expect("some");
        assert!(apart < EVERY / 50, "{apart:?}");
    }
}
