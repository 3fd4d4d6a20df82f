//! The schedule that a person means.

use anyhow::{Result, anyhow};
use serde_json::Value;

use crate::api::Api;
use crate::arguments::ScheduleNamed;
use crate::wrong_usage::WrongUsage;

/// The schedule with this id, or else with this name.
pub(super) async fn find(api: &Api, schedule: &ScheduleNamed) -> Result<Value> {
    pick(api.pages("schedules").await?, schedule)
}

/// What people call a schedule.
pub(super) fn name(schedule: &Value) -> String {
    schedule["name"].as_str().or_else(|| schedule["id"].as_str()).unwrap_or_default().to_owned()
}

fn pick(schedules: Vec<Value>, wanted: &ScheduleNamed) -> Result<Value> {
    let in_scheduler = |schedule: &Value| {
        wanted.scheduler.as_ref().is_none_or(|scheduler| schedule["scheduler"] == scheduler.as_str())
    };
    let has = |key: &'static str| {
        let wanted = wanted.name.as_str();
        move |schedule: &&Value| in_scheduler(schedule) && schedule[key] == wanted
    };
    for key in ["id", "name"] {
        let mut found = schedules.iter().filter(has(key));
        match (found.next(), found.next()) {
            (Some(one), None) => return Ok(one.clone()),
            (Some(one), Some(other)) => {
                let text = format!(
                    "{} and {} both have a schedule {}: say which with --scheduler",
                    one["scheduler"].as_str().unwrap_or_default(),
                    other["scheduler"].as_str().unwrap_or_default(),
                    wanted.name
                );
                return Err(anyhow!(WrongUsage(text)));
            }
            (None, _) => {}
        }
    }
    Err(anyhow!("no schedule called \"{}\" is known: `taskplane schedules list` names those that are", wanted.name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schedule_is_meant_by_its_id_or_its_name_and_only_one() {
        let schedules = || {
            vec![
                json!({"scheduler": "a", "id": "1", "name": "nightly"}),
                json!({"scheduler": "b", "id": "2", "name": "nightly"}),
                json!({"scheduler": "b", "id": "nightly2", "name": "1"}),
            ]
        };
        let pick = |name: &str, scheduler: Option<&str>| {
            let wanted = ScheduleNamed { name: name.into(), scheduler: scheduler.map(str::to_owned) };
            super::pick(schedules(), &wanted)
        };
        assert_eq!(pick("1", None).expect("by id")["scheduler"], "a");
        assert_eq!(pick("nightly", Some("b")).expect("by name")["id"], "2");
        assert!(pick("nightly", None).expect_err("two").is::<WrongUsage>());
        assert!(pick("weekly", None).expect_err("none").to_string().contains("schedules list"));
    }
}
