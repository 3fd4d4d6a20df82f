//! How long tasks may be under way before agents are asked about them.

use std::str::FromStr;

use clap::Args;
use taskplane_model::filter::Pattern;
use taskplane_model::stuck::AskAfter;
use taskplane_model::time::parse_age;

#[derive(Args, Clone, Debug, Default)]
pub(crate) struct AskAfterOptions {
    /// Ask agents how a task stands that is with a worker for so long, such as 90s, 10m or 2h, without another sign of it: TIME for
    /// task types of which nothing is known yet (10m), NAME=TIME for those of a name, which may have a *. Otherwise it is three
    /// times what nearly all tasks of the type take, and a minute at least. Repeatable.
    #[arg(long, env = "TASKPLANE_ASK_AFTER", value_name = "[NAME=]TIME", value_delimiter = ',')]
    pub(crate) ask_after: Vec<After>,
}

/// A time, of a type or of all that have none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct After {
    of: Option<Pattern>,
    micros: i64,
}

impl FromStr for After {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (of, time) = match text.rsplit_once('=') {
            Some((name, time)) => (Some(name.trim()), time),
            None => (None, text),
        };
        let refused =
            || "write a time such as 90s, 10m or 2h, or a task type with one, such as reports.*=2h".to_owned();
        let micros = parse_age(time.trim()).ok_or_else(refused)?;
        if of.is_some_and(str::is_empty) {
            return Err(refused());
        }
        Ok(Self { of: of.map(|name| Pattern(name.to_owned())), micros })
    }
}

impl AskAfterOptions {
    /// What they say together; of several for one type, or for all others, the last counts.
    pub(crate) fn all(self) -> AskAfter {
        let usual = self.ask_after.iter().rev().find(|after| after.of.is_none()).map(|after| after.micros);
        let of_types = self.ask_after.into_iter().filter_map(|after| Some((after.of?, after.micros)));
        AskAfter::new(usual, of_types.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;

    fn said(texts: &[&str]) -> AskAfter {
        let ask_after = texts.iter().map(|text| text.parse().expect("is understood")).collect();
        AskAfterOptions { ask_after }.all()
    }

    #[test]
    fn times_are_those_of_types_or_of_all_others() {
        let ask = said(&["5m", "report.*=2h", "report.daily=3h", "20m"]);
        let after = |name| ask.of(Some(name), None) / MINUTE;
        assert_eq!([after("mail"), after("report.hourly"), after("report.daily")], [20, 120, 180]);
        assert_eq!(said(&[]), AskAfter::default());
        for wrong in ["", "5", "5x", "=5m", "mail=", "mail=0s", "mail"] {
            assert!(wrong.parse::<After>().is_err(), "{wrong}");
        }
    }
}
