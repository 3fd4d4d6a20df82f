//! `GET tasks/{engine}/{task_id}/tree`.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;

use super::TaskPath;
use crate::api::Problem;
use crate::api::extract::Named;
use crate::api::types::{EdgeKind, Task, TaskTree, TreeEdge};
use crate::auth::RequireViewer;
use crate::brain::Brain;

/// Most tasks of a workflow that are given.
const MAX_TASKS: usize = 500;

/// The workflow around a task
///
/// Everything reachable by root, parent, group, chord and retry, at most 500 tasks.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/tasks/{engine}/{task_id}/tree",
    operation_id = "get_task_tree",
    tag = "tasks",
    params(("project" = String, Path), ("engine" = String, Path), ("task_id" = String, Path)),
    responses((status = 200, description = "The workflow", body = TaskTree))
)]
pub(in crate::api) async fn tree(
    access: RequireViewer,
    State(brain): State<Brain>,
    Named(TaskPath { engine, task_id }): Named<TaskPath>,
) -> Result<Json<TaskTree>, Problem> {
    let tree = brain.store.task_tree(access.project.id, &engine, &task_id, MAX_TASKS).await?;
    let tree = tree.ok_or_else(|| Problem::no_such_task(&engine, &task_id))?;
    let items: Vec<Task> = tree.tasks.iter().map(Task::from).collect();
    let edges = edges(&items);
    Ok(Json(TaskTree { items, edges, truncated: tree.truncated }))
}

/// The edges between the tasks given, one per pair: of several ways in which two belong together, the one that says most.
fn edges(items: &[Task]) -> Vec<TreeEdge> {
    let known: BTreeSet<&str> = items.iter().map(|task| task.task_id.as_str()).collect();
    let mut edges: BTreeMap<(&str, &str), EdgeKind> = BTreeMap::new();
    let bodies = bodies(items);
    let mut link = |parent: Option<&str>, child: Option<&str>, kind| {
        let (Some(parent), Some(child)) = (parent, child) else { return };
        let ends = (known.get(parent), known.get(child));
        if let (Some(parent), Some(child)) = ends
            && parent != child
        {
            edges.entry((parent, child)).or_insert(kind);
        }
    };
    for task in items {
        let id = Some(task.task_id.as_str());
        link(task.retry_of.as_deref(), id, EdgeKind::Retry);
        link(id, task.retried_as.as_deref(), EdgeKind::Retry);
        link(id, task.chord_id.as_deref(), EdgeKind::Chord);
        let body = task.group_id.as_ref().and_then(|group| bodies.get(group.as_str()).copied());
        let is_body = body == Some(task.task_id.as_str());
        link(id, body.filter(|_| !is_body), EdgeKind::Chord);
        match task.group_id.as_ref().filter(|_| !is_body) {
            // Members of a group hang on whoever sent them; without a known sender, on the root.
            Some(_) if task.parent_id.as_ref().is_some_and(|parent| known.contains(parent.as_str())) => {
                link(task.parent_id.as_deref(), id, EdgeKind::Group);
            }
            Some(_) => link(task.root_id.as_deref(), id, EdgeKind::Group),
            None => {
                let kind = if is_body { EdgeKind::Chord } else { EdgeKind::Parent };
                link(task.parent_id.as_deref(), id, kind);
            }
        }
    }
    let edge =
        |((parent, child), kind): ((&str, &str), _)| TreeEdge { parent: parent.into(), child: child.into(), kind };
    edges.into_iter().map(edge).collect()
}

/// The bodies of chords by their groups: members have no parent among themselves, so what one of them sent in its own group is what
/// waited for all of them. Messages that were never seen do not say it.
fn bodies(items: &[Task]) -> BTreeMap<&str, &str> {
    let groups: BTreeMap<&str, &str> =
        items.iter().filter_map(|task| Some((task.task_id.as_str(), task.group_id.as_deref()?))).collect();
    items
        .iter()
        .filter_map(|task| {
            let group = task.group_id.as_deref()?;
            // Celery gives a task that was tried again itself as parent.
            let parent = task.parent_id.as_deref().filter(|parent| *parent != task.task_id)?;
            (groups.get(parent) == Some(&group)).then_some((group, task.task_id.as_str()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use taskplane_model::{TaskRecord, Timestamp};
    use taskplane_store::tasks::StoredTask;

    use super::*;

    fn task(task_id: &str, links: impl FnOnce(&mut Task)) -> Task {
        let (engine, task_id) = ("celery".into(), task_id.into());
        let record = TaskRecord::default();
        let mut task =
            Task::from(&StoredTask { key: 1, first_seen: Timestamp(1), engine, task_id, agent: None, record });
        links(&mut task);
        task
    }

    fn told(items: &[Task]) -> Vec<String> {
        edges(items).iter().map(|e| format!("{}>{}:{:?}", e.parent, e.child, e.kind)).collect()
    }

    #[test]
    fn a_chord_is_linked_from_its_sender_to_its_body() {
        let member = |t: &mut Task| {
            t.parent_id = Some("root".into());
            t.group_id = Some("g".into());
            t.chord_id = Some("body".into());
        };
        let items = [
            task("root", |t| t.root_id = Some("root".into())),
            task("m1", member),
            task("m2", member),
            task("body", |t| t.parent_id = Some("m2".into())),
        ];
        assert_eq!(
            told(&items),
            ["m1>body:Chord", "m2>body:Chord", "root>m1:Group", "root>m2:Group"],
            "and m2>body is told once"
        );
    }

    #[test]
    fn a_body_is_known_by_its_group_where_no_message_of_a_member_was_seen() {
        let of_group = |parent: Option<&str>| {
            let parent = parent.map(str::to_owned);
            move |t: &mut Task| (t.parent_id, t.group_id) = (parent, Some("g".into()))
        };
        let items = [
            task("root", |_| {}),
            task("m1", of_group(Some("root"))),
            task("m2", of_group(Some("root"))),
            task("body", of_group(Some("m2"))),
        ];
        assert_eq!(told(&items), ["m1>body:Chord", "m2>body:Chord", "root>m1:Group", "root>m2:Group"]);
        let chains = [task("a", |_| {}), task("b", of_group(Some("a"))), task("c", of_group(None))];
        assert_eq!(told(&chains), ["a>b:Group"], "the last of a chain within a group is a member of it");
    }

    #[test]
    fn links_to_tasks_that_are_not_there_are_left_out() {
        let items = [
            task("a", |t| t.retried_as = Some("b".into())),
            task("b", |t| {
                t.retry_of = Some("a".into());
                t.parent_id = Some("gone".into());
            }),
        ];
        assert_eq!(told(&items), ["a>b:Retry"]);
    }
}
