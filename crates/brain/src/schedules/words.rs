//! Schedules in plain English, and what about them may surprise.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use taskplane_model::Timestamp;
use taskplane_model::schedule::{Crontab, Field, Solar, Timing, TimingError, time_zone};
use taskplane_model::time::{DAY, MINUTE, SECOND};

const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// More times of a day are not listed one by one.
const MOST_TIMES: usize = 6;
/// Changes of the clock are looked for so far ahead.
const YEAR: i64 = 366 * DAY;
/// Most changes of the clock that are told of.
const MOST_CHANGES: usize = 2;

/// When a schedule runs, such as "Every day at 03:00 in Europe/Berlin".
///
/// # Errors
/// What is not understood.
pub(crate) fn plain(kind: &str, expression: &str, timezone: Option<&str>) -> Result<String, TimingError> {
    let timing = Timing::parse(kind, expression, timezone)?;
    let zone = timezone.unwrap_or("UTC");
    Ok(match &timing {
        Timing::Crontab { crontab, .. } => {
            let place = if zone == "UTC" { " UTC".to_owned() } else { format!(" in {zone}") };
            let words = crontab_words(crontab);
            // A minute of every hour is the same everywhere, or nearly.
            if words.names_hours || zone != "UTC" { format!("{}{place}", words.text) } else { words.text }
        }
        Timing::Interval(micros) => format!("Every {}", duration(*micros)),
        Timing::Clocked(at) => format!("Once, on {}", instant(*at)),
        Timing::Solar(Solar { event, latitude, longitude }) => {
            let event = event.as_str().replace('_', " ");
            format!("Every day at {event} at {} {}", degrees(*latitude, "N", "S"), degrees(*longitude, "E", "W"))
        }
    })
}

/// What about a schedule may surprise, in sentences.
///
/// # Errors
/// What is not understood.
pub(crate) fn warnings(
    kind: &str,
    expression: &str,
    timezone: Option<&str>,
    now: Timestamp,
) -> Result<Vec<String>, TimingError> {
    let mut all = Vec::new();
    match Timing::parse(kind, expression, timezone)? {
        Timing::Crontab { crontab, .. } => {
            let restricts = |field: Field| crontab.named(field).len() < whole(field);
            if restricts(Field::DayOfMonth) && restricts(Field::DayOfWeek) {
                let text = "Day of month and day of week are both restricted: it runs only on days that are both, other than \
                            with cron, where one of them is enough.";
                all.push(text.to_owned());
            }
            let zone = timezone.unwrap_or("UTC");
            all.extend(clock_changes(&crontab, zone, &time_zone(zone)?, now));
        }
        Timing::Clocked(at) if at <= now => all.push("This time has passed: it will not run.".to_owned()),
        Timing::Interval(micros) if micros < SECOND => {
            all.push("Schedulers look about once a second at most: it will not run as often as this.".to_owned());
        }
        _ => {}
    }
    Ok(all)
}

struct CrontabWords {
    text: String,
    names_hours: bool,
}

fn crontab_words(crontab: &Crontab) -> CrontabWords {
    let (minutes, hours) = (crontab.named(Field::Minute), crontab.named(Field::Hour));
    let days = days(crontab);
    let all_hours = hours.len() == whole(Field::Hour);
    let each = match (step(&minutes, 60), step(&hours, 24)) {
        (Some(1), _) if all_hours => Some("Every minute".to_owned()),
        (Some(minutes), _) if all_hours => Some(format!("Every {minutes} minutes")),
        _ if all_hours && minutes == [0] => Some("Every hour".to_owned()),
        _ if all_hours => {
            Some(format!("Every hour at minute {}", list(&minutes.iter().map(u8::to_string).collect::<Vec<_>>())))
        }
        (_, Some(hours)) if minutes.len() == 1 => Some(format!("Every {hours} hours at minute {}", minutes[0])),
        _ => None,
    };
    if let Some(each) = each {
        let text = if days.is_every_day { each } else { format!("{each}, {}", days.lower()) };
        return CrontabWords { text, names_hours: !all_hours || !days.is_every_day };
    }
    let text = if minutes.len() * hours.len() <= MOST_TIMES {
        let times: Vec<String> =
            hours.iter().flat_map(|hour| minutes.iter().map(move |minute| format!("{hour:02}:{minute:02}"))).collect();
        format!("{} at {}", days.text, list(&times))
    } else {
        let past = match step(&minutes, 60) {
            Some(1) => "every minute".to_owned(),
            Some(step) => format!("every {step} minutes"),
            None => format!("minute {}", list(&minutes.iter().map(u8::to_string).collect::<Vec<_>>())),
        };
        format!("{}, {past} of {}", days.text, spans(&hours, |hour| format!("{hour:02}:00"), "hour", "hours"))
    };
    CrontabWords { text, names_hours: true }
}

struct Days {
    text: String,
    is_every_day: bool,
}

impl Days {
    fn lower(&self) -> String {
        let mut letters = self.text.chars();
        letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
    }
}

fn days(crontab: &Crontab) -> Days {
    let (days, months, weekdays) =
        (crontab.named(Field::DayOfMonth), crontab.named(Field::Month), crontab.named(Field::DayOfWeek));
    let any_day = days.len() == whole(Field::DayOfMonth);
    let any_weekday = weekdays.len() == whole(Field::DayOfWeek);
    let weekday_names = || weekday_words(&weekdays);
    let day_numbers = || spans(&days, u8::to_string, "day", "days");
    let mut text = match (any_day, any_weekday) {
        (true, true) => "Every day".to_owned(),
        (true, false) => format!("Every {}", weekday_names()),
        (false, true) => format!("On {} of the month", day_numbers()),
        (false, false) => format!("On {} of the month if it is a {}", day_numbers(), weekday_names()),
    };
    if months.len() < whole(Field::Month) {
        let name = |month: &u8| MONTHS.get(usize::from(*month).wrapping_sub(1)).copied().unwrap_or_default().to_owned();
        text = format!("{text} in {}", runs_of(&months, name, " to "));
    }
    Days { text, is_every_day: any_day && any_weekday && months.len() == whole(Field::Month) }
}

fn weekday_words(weekdays: &[u8]) -> String {
    let name = |day: &u8| WEEKDAYS.get(usize::from(*day)).copied().unwrap_or_default().to_owned();
    match weekdays {
        [1, 2, 3, 4, 5] => "Monday to Friday".to_owned(),
        [0, 6] => "Saturday and Sunday".to_owned(),
        _ => runs_of(weekdays, name, " to "),
    }
}

/// "day 1", "days 1 to 5 and 15".
fn spans(numbers: &[u8], name: impl Fn(&u8) -> String, one: &str, many: &str) -> String {
    let noun = if numbers.len() == 1 { one } else { many };
    format!("{noun} {}", runs_of(numbers, name, " to "))
}

/// Neighbours as spans: "1 to 5, 9 and 15".
fn runs_of(numbers: &[u8], name: impl Fn(&u8) -> String, to: &str) -> String {
    let mut runs: Vec<(u8, u8)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let words = |(first, last): (u8, u8)| match last - first {
        0 => vec![name(&first)],
        1 => vec![name(&first), name(&last)],
        _ => vec![format!("{}{to}{}", name(&first), name(&last))],
    };
    list(&runs.into_iter().flat_map(words).collect::<Vec<_>>())
}

/// The step from zero on that gives exactly these numbers below `end`, if it divides `end`.
fn step(numbers: &[u8], end: u8) -> Option<u8> {
    let step = match numbers {
        [0, second, ..] => *second,
        _ => return None,
    };
    let all = (0..end).step_by(usize::from(step.max(1)));
    (step > 0 && end.is_multiple_of(step) && all.eq(numbers.iter().copied())).then_some(step)
}

fn whole(field: Field) -> usize {
    let (min, max) = field.bounds();
    usize::from(max - min) + 1
}

/// Changes of the clock that skip or repeat minutes of a crontab, during the year ahead.
fn clock_changes(crontab: &Crontab, name: &str, zone: &TimeZone, now: Timestamp) -> Vec<String> {
    let Ok(from) = jiff::Timestamp::from_microsecond(now.0) else { return Vec::new() };
    let until = now.plus(YEAR);
    let mut texts = Vec::new();
    for change in zone.following(from).take_while(|change| change.timestamp().as_microsecond() < until.0) {
        let at = change.timestamp();
        let just_before = jiff::Timestamp::from_microsecond(at.as_microsecond() - 1).unwrap_or(at);
        let (before, after) = (zone.to_offset(just_before).seconds(), zone.to_offset(at).seconds());
        if before == after {
            continue;
        }
        let moved = i64::from((before - after).abs()) * SECOND;
        let so_long = if moved == 60 * MINUTE { "an hour".to_owned() } else { duration(moved) };
        // On the wall clock, from here on so long is skipped, or comes twice.
        let begin = zone.to_offset(if after > before { just_before } else { at }).to_datetime(at);
        let end = begin.checked_add(jiff::SignedDuration::from_micros(moved)).unwrap_or(begin);
        if !names_between(crontab, begin, end) {
            continue;
        }
        let (day, hours) = (date(begin), format!("{} to {}", clock(begin), clock(end)));
        let is_regular = crontab.named(Field::Hour).len() == whole(Field::Hour);
        if after < before && is_regular {
            texts.push(format!(
                "On {day} the clock in {name} goes through {hours} twice. It runs the first time only, and pauses for {so_long}."
            ));
        } else if after < before {
            texts
                .push(format!("On {day} the clock in {name} goes through {hours} twice. It runs the first time only."));
        } else if !is_regular {
            texts.push(format!("On {day} the clock in {name} skips {hours}. What is due then runs {so_long} later."));
        }
        if texts.len() == MOST_CHANGES {
            break;
        }
    }
    texts
}

fn names_between(crontab: &Crontab, begin: DateTime, end: DateTime) -> bool {
    let (minutes, hours) = (crontab.named(Field::Minute), crontab.named(Field::Hour));
    let (days, months) = (crontab.named(Field::DayOfMonth), crontab.named(Field::Month));
    let weekdays = crontab.named(Field::DayOfWeek);
    let has = |numbers: &[u8], number: i8| numbers.iter().any(|&n| i16::from(n) == i16::from(number));
    let named = |wall: &DateTime| {
        has(&minutes, wall.minute())
            && has(&hours, wall.hour())
            && has(&days, wall.day())
            && has(&months, wall.month())
            && has(&weekdays, wall.weekday().to_sunday_zero_offset())
    };
    let minute = |wall: &DateTime| wall.checked_add(jiff::SignedDuration::from_micros(MINUTE)).ok();
    // A clock is never moved by more than a day.
    std::iter::successors(Some(begin), minute).take(24 * 60).take_while(|wall| *wall < end).any(|wall| named(&wall))
}

fn duration(micros: i64) -> String {
    for (unit, name) in
        [(DAY, "day"), (60 * MINUTE, "hour"), (MINUTE, "minute"), (SECOND, "second"), (1_000, "millisecond")]
    {
        if micros % unit == 0 {
            let count = micros / unit;
            return if count == 1 { name.to_owned() } else { format!("{count} {name}s") };
        }
    }
    format!("{micros} microseconds")
}

fn instant(at: Timestamp) -> String {
    let Ok(at) = jiff::Timestamp::from_microsecond(at.0) else { return at.to_string() };
    let wall = TimeZone::UTC.to_datetime(at);
    format!("{} at {} UTC", date(wall), clock(wall))
}

fn date(wall: DateTime) -> String {
    let month = usize::try_from(wall.month()).ok().and_then(|month| MONTHS.get(month.wrapping_sub(1)));
    format!("{} {} {}", wall.day(), month.copied().unwrap_or_default(), wall.year())
}

fn clock(wall: DateTime) -> String {
    match wall.second() {
        0 => format!("{:02}:{:02}", wall.hour(), wall.minute()),
        second => format!("{:02}:{:02}:{second:02}", wall.hour(), wall.minute()),
    }
}

fn degrees(angle: f64, positive: &str, negative: &str) -> String {
    format!("{}° {}", angle.abs(), if angle < 0.0 { negative } else { positive })
}

fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crontab(expression: &str, zone: Option<&str>) -> String {
        plain("crontab", expression, zone).expect(expression)
    }

    #[test]
    fn crontabs_are_said_in_words() {
        let said = [
            ("* * * * *", "Every minute"),
            ("*/15 * * * *", "Every 15 minutes"),
            ("0 * * * *", "Every hour"),
            ("5,35 * * * *", "Every hour at minute 5 and 35"),
            ("0 3 * * *", "Every day at 03:00 UTC"),
            ("30 9,12,17 * * *", "Every day at 09:30, 12:30 and 17:30 UTC"),
            ("0 */6 * * *", "Every 6 hours at minute 0 UTC"),
            ("0 3 * * mon-fri", "Every Monday to Friday at 03:00 UTC"),
            ("0 3 * * sat,sun", "Every Saturday and Sunday at 03:00 UTC"),
            ("0 3 * * mon,wed", "Every Monday and Wednesday at 03:00 UTC"),
            ("0 0 1 * *", "On day 1 of the month at 00:00 UTC"),
            ("0 0 1-5,15 * *", "On days 1 to 5 and 15 of the month at 00:00 UTC"),
            ("0 0 1 jan,jul *", "On day 1 of the month in January and July at 00:00 UTC"),
            ("0 0 13 * fri", "On day 13 of the month if it is a Friday at 00:00 UTC"),
            ("*/5 9-17 * * mon-fri", "Every Monday to Friday, every 5 minutes of hours 09:00 to 17:00 UTC"),
            ("*/10 * * * mon", "Every 10 minutes, every Monday UTC"),
        ];
        for (expression, words) in said {
            assert_eq!(crontab(expression, None), words, "{expression}");
        }
        assert_eq!(crontab("0 3 * * *", Some("Europe/Berlin")), "Every day at 03:00 in Europe/Berlin");
    }

    #[test]
    fn other_kinds_are_said_in_words() {
        let said = |kind, expression| plain(kind, expression, None).expect(expression);
        assert_eq!(said("interval", "90s"), "Every 90 seconds");
        assert_eq!(said("interval", "3600s"), "Every hour");
        assert_eq!(said("interval", "1d"), "Every day");
        assert_eq!(said("clocked", "2026-11-22T18:00:00Z"), "Once, on 22 November 2026 at 18:00 UTC");
        assert_eq!(said("solar", "sunset 52.52 -13.4"), "Every day at sunset at 52.52° N 13.4° W");
        assert!(plain("crontab", "0 25 * * *", None).is_err());
    }

    fn warned(expression: &str, zone: &str) -> Vec<String> {
        let now = Timestamp::parse_rfc3339("2026-11-23T08:00:00Z").expect("a time");
        warnings("crontab", expression, Some(zone), now).expect(expression)
    }

    #[test]
    fn a_skipped_hour_and_a_repeated_one_are_told_before() {
        assert_eq!(
            warned("30 2 * * *", "Europe/Berlin"),
            [
                "On 28 March 2027 the clock in Europe/Berlin skips 02:00 to 03:00. What is due then runs an hour later.",
                "On 31 October 2027 the clock in Europe/Berlin goes through 02:00 to 03:00 twice. It runs the first time only.",
            ]
        );
        assert_eq!(warned("*/15 * * * *", "Europe/Berlin").len(), 1);
        assert!(warned("*/15 * * * *", "Europe/Berlin")[0].contains("pauses for"));
        assert!(warned("30 4 * * *", "Europe/Berlin").is_empty());
        assert!(warned("30 2 * * *", "UTC").is_empty());
    }

    #[test]
    fn both_kinds_of_days_are_pointed_out() {
        assert!(warned("0 0 13 * fri", "UTC")[0].contains("both"));
        assert!(warned("0 0 13 * *", "UTC").is_empty());
    }

    #[test]
    fn what_has_passed_is_pointed_out() {
        let now = Timestamp::parse_rfc3339("2026-11-23T08:00:00Z").expect("a time");
        let passed = warnings("clocked", "2026-11-22T18:00:00Z", None, now).expect("is understood");
        assert!(passed[0].contains("has passed"), "{passed:?}");
    }
}
