//! `taskplane schedules create`.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use serde_json::{Map, Value, json};

use super::ended;
use crate::api::Api;
use crate::arguments::{ScheduleCreateOptions, ScheduleTiming};
use crate::wrong_usage::WrongUsage;

pub(super) async fn run(api: &Api, options: ScheduleCreateOptions, json: bool) -> Result<()> {
    let scheduler = match &options.scheduler {
        Some(scheduler) => scheduler.clone(),
        None => only(&api.list("agents").await?)?,
    };
    let (name, agent) = (options.name.clone(), options.agent.clone());
    let args = json!({"scheduler": scheduler, "schedule": schedule(options)});
    let command = api.command_to(agent.as_deref(), "schedule_create", args).await?;
    ended(&command, json, &format!("{name} is made"))
}

/// The only scheduler that agents see.
fn only(agents: &[Value]) -> Result<String> {
    let names = agents.iter().filter_map(|agent| agent["schedulers"].as_array()).flatten().filter_map(Value::as_str);
    let names: BTreeSet<&str> = names.collect();
    match names.iter().collect::<Vec<_>>()[..] {
        [one] => Ok((*one).to_owned()),
        [] => bail!("no agent sees a scheduler: see `taskplane agent --help` for how to show it one"),
        _ => {
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            bail!(WrongUsage(format!("there are several schedulers ({names}): say which with --scheduler")))
        }
    }
}

fn schedule(options: ScheduleCreateOptions) -> Value {
    let ScheduleTiming { crontab, every, at, solar } = options.timing;
    let timings = [("crontab", crontab), ("interval", every), ("clocked", at), ("solar", solar)];
    let timing = timings.into_iter().find_map(|(kind, expression)| Some((kind, expression?)));
    let (kind, expression) = timing.unwrap_or_default();
    let mut schedule = Map::new();
    let fields = [
        ("name", Some(Value::from(options.name))),
        ("task", Some(Value::from(options.task))),
        ("kind", Some(Value::from(kind))),
        ("expression", Some(Value::from(expression))),
        ("timezone", options.timezone.map(Value::from)),
        ("args", options.args),
        ("kwargs", options.kwargs),
        ("queue", options.queue.map(Value::from)),
        ("description", options.description.map(Value::from)),
        ("enabled", Some(Value::from(!options.paused))),
        ("one_off", (kind == "clocked").then_some(Value::from(true))),
    ];
    schedule.extend(fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    Value::Object(schedule)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Cli, Command, SchedulesVerb};

    fn created(line: &[&str]) -> Result<Value, clap::Error> {
        let line = [&["taskplane", "schedules", "create"], line].concat();
        let Command::Schedules(command) = Cli::try_parse_from(line)?.command else { panic!("not schedules") };
        let SchedulesVerb::Create(options) = command.verb else { panic!("not create") };
        Ok(schedule(*options))
    }

    #[test]
    fn options_become_a_schedule() {
        let line = ["nightly", "--task", "t", "--crontab", "0 3 * * *", "--timezone", "Europe/Berlin", "--args", "[1]"];
        let expected = json!({"name": "nightly", "task": "t", "kind": "crontab", "expression": "0 3 * * *",
            "timezone": "Europe/Berlin", "args": [1], "enabled": true});
        assert_eq!(created(&line).expect("parses"), expected);
        let once = created(&["x", "--task", "t", "--at", "2026-11-22T18:00:00Z", "--paused"]).expect("parses");
        assert_eq!(
            (&once["kind"], &once["one_off"], &once["enabled"]),
            (&json!("clocked"), &json!(true), &json!(false))
        );
    }

    #[test]
    fn exactly_one_timing_is_needed() {
        for wrong in [&["x", "--task", "t"][..], &["x", "--task", "t", "--every", "5s", "--crontab", "* * * * *"]] {
            assert!(created(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_scheduler_is_clear_when_there_is_one() {
        let agents = |names: &[&str]| vec![json!({"schedulers": names}), json!({"schedulers": names})];
        assert_eq!(only(&agents(&["celery-beat"])).expect("one"), "celery-beat");
        assert!(only(&agents(&[])).is_err());
        assert!(only(&agents(&["a", "b"])).expect_err("two").is::<WrongUsage>());
    }
}
