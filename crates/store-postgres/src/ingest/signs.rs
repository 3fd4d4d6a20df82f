//! Workers and queues, merged with what is stored.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use taskplane_model::fleet::{Queue, Worker};
use taskplane_store::Result;
use taskplane_store::backend::signs::{Key, Signs};

use crate::locks::project_number;
use crate::session::{Session, column, json, to_json};
use crate::text::Text;

/// Writes down what a group of batches told.
pub(super) async fn store(session: &Session, signs: Signs) -> Result<()> {
    let workers = Table {
        find: "SELECT n.at, t.data FROM unnest($1::int4[], $2::text[], $3::text[])
            WITH ORDINALITY AS n(project, name, engine, at)
            JOIN workers t ON t.project = n.project AND t.name = n.name AND t.engine = n.engine",
        put: "INSERT INTO workers (project, name, engine, data)
            SELECT * FROM unnest($1::int4[], $2::text[], $3::text[], $4::text[])
            ON CONFLICT (project, name, engine) DO UPDATE SET data = excluded.data",
        merge: Worker::merge,
    };
    let queues = Table {
        find: "SELECT n.at, t.data FROM unnest($1::int4[], $2::text[], $3::text[])
            WITH ORDINALITY AS n(project, name, engine, at)
            JOIN queues t ON t.project = n.project AND t.name = n.name AND t.engine = n.engine",
        put: "INSERT INTO queues (project, name, engine, data)
            SELECT * FROM unnest($1::int4[], $2::text[], $3::text[], $4::text[])
            ON CONFLICT (project, name, engine) DO UPDATE SET data = excluded.data",
        merge: Queue::merge,
    };
    workers.merge_in(session, signs.workers).await?;
    queues.merge_in(session, signs.queues).await
}

struct Table<T> {
    find: &'static str,
    put: &'static str,
    merge: fn(&mut T, T),
}

impl<T: Serialize + DeserializeOwned + PartialEq + Clone> Table<T> {
    async fn merge_in(&self, session: &Session, told: BTreeMap<Key, T>) -> Result<()> {
        if told.is_empty() {
            return Ok(());
        }
        let mut stored: Vec<Option<T>> = vec![None; told.len()];
        let projects: Vec<i32> = told.keys().map(|key| project_number(key.0)).collect();
        let names = Text::all(told.keys().map(|key| &key.1));
        let engines = Text::all(told.keys().map(|key| &key.2));
        for row in session.query(self.find, &[&projects, &names, &engines]).await? {
            let at = usize::try_from(column::<i64>(&row, 0)? - 1).unwrap_or(usize::MAX);
            if let Some(place) = stored.get_mut(at) {
                *place = Some(json(&row, 1)?);
            }
        }
        let (mut projects, mut names, mut engines, mut data) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (((project, name, engine), new), stored) in told.into_iter().zip(stored) {
            let merged = match &stored {
                None => new,
                Some(known) => {
                    let mut merged = known.clone();
                    (self.merge)(&mut merged, new);
                    merged
                }
            };
            if stored.as_ref() != Some(&merged) {
                projects.push(project_number(project));
                names.push(Text(name));
                engines.push(Text(engine));
                data.push(to_json(&merged)?);
            }
        }
        if !projects.is_empty() {
            session.execute(self.put, &[&projects, &names, &engines, &data]).await?;
        }
        Ok(())
    }
}
