//! What Django's admin would refuse of a schedule, refused here as well: the fields of django-celery-beat's models with their
//! validators, and, since beat must read it too, Celery's own rules.

use serde::Serialize;
use taskplane_agent::engine::CommandError;
use taskplane_model::schedule::{Field, Kind, format_duration, parse_duration};

use crate::wanted::{Wanted, invalid};

/// Longest name of a schedule, a task or a queue, in characters.
const MAX_NAME: usize = 200;
/// PostgreSQL's and Django's largest integer.
const MAX_INTEGER: u64 = i32::MAX as u64;
/// Python counts no longer spans of time, in days.
const MAX_DAYS: i64 = 999_999_999;

/// What a schedule's times are in the tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TimesRow {
    /// `crontabschedule`: the five fields and the zone.
    Crontab([String; 5], String),
    /// `intervalschedule`: how many, and of what.
    Interval(i64, &'static str),
    /// `clockedschedule`: when, in microseconds.
    Clocked(taskplane_model::Timestamp),
    /// `solarschedule`: event, latitude, longitude.
    Solar(String, String, String),
}

/// Checks a schedule, and says what its times are in the tables.
///
/// # Errors
/// What Django would say, in a sentence.
pub(crate) fn times_row(wanted: &Wanted) -> Result<TimesRow, CommandError> {
    let long = |what: &str, text: &str| {
        let is_long = text.chars().count() > MAX_NAME;
        if is_long { Err(invalid(format!("the {what} may have at most {MAX_NAME} characters"))) } else { Ok(()) }
    };
    long("name", &wanted.name)?;
    long("task", &wanted.task)?;
    long("queue", wanted.queue.as_deref().unwrap_or_default())?;
    let texts = [&wanted.name, &wanted.task, &wanted.description, wanted.queue.as_ref().unwrap_or(&wanted.name)];
    if texts.iter().any(|text| text.contains('\0')) {
        return Err(invalid("a text may not have null characters in it"));
    }
    if wanted.expires_at.is_some() && wanted.expire_seconds.is_some() {
        return Err(invalid("a schedule has expires_at or expire_seconds, not both: set the other one to null"));
    }
    if wanted.expire_seconds.is_some_and(|seconds| seconds > MAX_INTEGER) {
        return Err(invalid(format!("expire_seconds may be at most {MAX_INTEGER}")));
    }
    if wanted.kind == Kind::Clocked && !wanted.one_off {
        return Err(invalid("a clocked schedule runs once: one_off must be true"));
    }
    match wanted.kind {
        Kind::Crontab => crontab(wanted),
        Kind::Interval => interval(&wanted.expression),
        Kind::Clocked => match &wanted.timing {
            taskplane_model::schedule::Timing::Clocked(at) => Ok(TimesRow::Clocked(*at)),
            _ => Err(invalid("a clocked schedule needs a time")),
        },
        Kind::Solar => solar(&wanted.expression),
    }
}

fn crontab(wanted: &Wanted) -> Result<TimesRow, CommandError> {
    let fields: Vec<String> = wanted.expression.split(' ').map(str::to_owned).collect();
    let fields: [String; 5] = fields.try_into().map_err(|_| invalid("a crontab has five fields"))?;
    for (field, text) in Field::ALL.into_iter().zip(&fields) {
        let most = match field {
            Field::Minute => 240,
            Field::Hour => 96,
            Field::DayOfMonth => 124,
            Field::Month | Field::DayOfWeek => 64,
        };
        if text.len() > most {
            return Err(invalid(format!("the crontab's {field} may have at most {most} characters")));
        }
        if let Some(part) = text.split(',').find(|part| !is_accepted(field, part)) {
            return Err(invalid(format!(
                "Django does not accept \"{part}\" as {field} of a crontab: ranges go upwards, a step is at most {}, and \
                 names are the first three letters of {}",
                field.bounds().1,
                if field == Field::Month { "a month" } else { "a weekday" },
            )));
        }
    }
    Ok(TimesRow::Crontab(fields, wanted.timezone.clone().unwrap_or_else(|| "UTC".to_owned())))
}

/// The rules that Django's validator has besides Celery's, which the part has passed already.
fn is_accepted(field: Field, part: &str) -> bool {
    let (span, step) = part.split_once('/').unwrap_or((part, "1"));
    let (from, to) = span.split_once('-').unwrap_or((span, span));
    let number = |text: &str| -> Option<u32> {
        if text == "*" {
            return Some(0);
        }
        text.parse().ok().or_else(|| named(field, text))
    };
    let (Some(from), Some(to), Ok(step)) = (number(from), number(to), step.parse::<u32>()) else { return false };
    from <= to && (1..=u32::from(field.bounds().1)).contains(&step)
}

fn named(field: Field, text: &str) -> Option<u32> {
    let names: &[&str] = match field {
        Field::Month => &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
        Field::DayOfWeek => &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
        Field::Minute | Field::Hour | Field::DayOfMonth => &[],
    };
    let found = names.iter().position(|name| name.eq_ignore_ascii_case(text))?;
    u32::try_from(found + usize::from(field == Field::Month)).ok()
}

/// The units of the table, and what an expression calls them.
const UNITS: [(&str, &str); 5] =
    [("d", "days"), ("h", "hours"), ("m", "minutes"), ("s", "seconds"), ("us", "microseconds")];

fn interval(expression: &str) -> Result<TimesRow, CommandError> {
    let unread = || invalid("an interval is a whole number and a unit, as in 30s, 5m, 2h or 1d");
    let micros = parse_duration(expression).ok_or_else(unread)?;
    // Of milliseconds the table knows nothing.
    let expression = if expression.ends_with("ms") { format!("{micros}us") } else { expression.to_owned() };
    let digits = expression.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = expression.split_at(digits);
    let (_, period) = UNITS.iter().find(|(short, _)| *short == unit).ok_or_else(unread)?;
    let every = count.parse::<u64>().ok().filter(|every| *every <= MAX_INTEGER).ok_or_else(|| {
        invalid(format!("an interval may be at most {MAX_INTEGER} of its unit: write it in a larger one"))
    })?;
    if micros / taskplane_model::time::DAY > MAX_DAYS {
        return Err(invalid(format!("an interval may be at most {MAX_DAYS} days long")));
    }
    Ok(TimesRow::Interval(i64::try_from(every).unwrap_or(i64::MAX), period))
}

/// The expression of an interval in the table; `None` when it has none.
pub(crate) fn interval_expression(every: &str, period: &str) -> Option<String> {
    let (unit, _) = UNITS.iter().find(|(_, known)| *known == period)?;
    let written = format!("{every}{unit}");
    let micros = parse_duration(&written)?;
    Some(if *unit == "us" { format_duration(micros) } else { written })
}

fn solar(expression: &str) -> Result<TimesRow, CommandError> {
    let parts: Vec<&str> = expression.split(' ').collect();
    let &[event, latitude, longitude] = parts.as_slice() else {
        return Err(invalid("a solar schedule is an event with latitude and longitude"));
    };
    let fits = |text: &str| text.split_once('.').is_none_or(|(_, decimals)| decimals.len() <= 6);
    if !fits(latitude) || !fits(longitude) {
        return Err(invalid("latitude and longitude may have at most six decimal places"));
    }
    Ok(TimesRow::Solar(event.to_owned(), latitude.to_owned(), longitude.to_owned()))
}

#[cfg(test)]
mod tests {
    use taskplane_agent::scheduler::ScheduleChange;

    use super::*;

    fn row(kind: &str, expression: &str) -> Result<TimesRow, String> {
        let change = ScheduleChange {
            name: Some("n".into()),
            task: Some("t".into()),
            kind: Some(kind.into()),
            expression: Some(expression.into()),
            ..ScheduleChange::default()
        };
        Wanted::new(&change).and_then(|wanted| times_row(&wanted)).map_err(|error| error.to_string())
    }

    /// What both Django's validators (python-crontab 3.4) and Celery 5.7 accept, of many texts in each field.
    #[test]
    fn crontabs_are_accepted_that_django_and_celery_accept() {
        let everywhere = ["*", "5", "07", "7", "1-5", "*/2", "*/7", "*/6", "1-5/2", "1,2,3", "*/12", "01-05", "1-10/7"];
        let nowhere = [
            "60", "mon,jan", "Monday", "january", "fri-mon", "5-1", "*/60", "*/0", "5/2", "1,,2", "sat-sun", "L", "?",
            "-5", "1-", "*-5", "*/mon", "+5",
        ];
        let fields = [
            (0, vec!["0", "31", "24", "*/24", "*/31", "0-59", "32"], vec!["mon", "jan"]),
            (1, vec!["0", "13"], vec!["24", "31", "*/24", "0-59", "sun"]),
            (2, vec!["31", "24", "*/24", "*/31"], vec!["0", "32", "0-59", "000"]),
            (3, vec!["jan", "JAN", "feb-mar"], vec!["0", "13", "*/13", "mon"]),
            (4, vec!["0", "mon", "MON", "mon-fri", "mon,wed", "sun-mon"], vec!["6-7", "0-7", "jan", "24", "*/12"]),
        ];
        for (at, good, bad) in fields {
            let of = |text: &str| {
                let mut parts = ["*"; 5];
                parts[at] = text;
                row("crontab", &parts.join(" "))
            };
            for text in good {
                assert!(of(text).is_ok(), "field {at}: {text}: {:?}", of(text));
            }
            for text in bad.into_iter().chain(nowhere) {
                assert!(of(text).is_err(), "field {at}: {text}");
            }
            // A day of the week is no 7 for Celery, and takes no step of more than 6 in Django.
            for text in everywhere.into_iter().filter(|text| at != 4 || !(text.contains('7') || text.contains("12"))) {
                assert!(of(text).is_ok(), "field {at}: {text}: {:?}", of(text));
            }
        }
        let long = (0..60).map(|n| format!("{n:04}")).collect::<Vec<_>>().join(",");
        assert!(row("crontab", &format!("{long} * * * *")).is_err());
    }

    #[test]
    fn intervals_keep_the_unit_they_were_written_in() {
        assert_eq!(row("interval", "60s"), Ok(TimesRow::Interval(60, "seconds")));
        assert_eq!(row("interval", "250ms"), Ok(TimesRow::Interval(250_000, "microseconds")));
        assert!(row("interval", "3000000000s").is_err());
        assert!(row("interval", "1000000000d").is_err());
        assert_eq!(interval_expression("60", "seconds").as_deref(), Some("60s"));
        assert_eq!(interval_expression("250000", "microseconds").as_deref(), Some("250ms"));
        assert_eq!(interval_expression("0", "seconds"), None);
        assert_eq!(interval_expression("5", "weeks"), None);
    }

    #[test]
    fn solar_events_have_six_decimals() {
        assert!(row("solar", "sunset 52.520001 13.4").is_ok());
        assert!(row("solar", "sunset 52.5200011 13.4").expect_err("refused").contains("six decimal"));
    }

    #[test]
    fn what_django_refuses_is_refused() {
        let wanted = |change: ScheduleChange| {
            let base = ScheduleChange {
                name: Some("n".into()),
                task: Some("t".into()),
                kind: Some("clocked".into()),
                expression: Some("2027-01-01T00:00:00Z".into()),
                ..change
            };
            Wanted::new(&base).and_then(|wanted| times_row(&wanted)).map_err(|error| error.to_string())
        };
        assert!(wanted(ScheduleChange::default()).is_ok());
        let twice = ScheduleChange { one_off: Some(false), ..ScheduleChange::default() };
        assert!(wanted(twice).expect_err("refused").contains("one_off"));
        let at = taskplane_model::Timestamp(1);
        let both =
            ScheduleChange { expires_at: Some(Some(at)), expire_seconds: Some(Some(5)), ..ScheduleChange::default() };
        assert!(wanted(both).expect_err("refused").contains("not both"));
        let queue = ScheduleChange { queue: Some(Some("q".repeat(201))), ..ScheduleChange::default() };
        assert!(wanted(queue).expect_err("refused").contains("200"));
    }
}
