//! Workflows: everything that belongs together.

use taskplane_model::TaskEventKind;

use super::Subject;
use super::samples::{ENGINE, NOW, Told, batch, default_project, deltas, open, store_batch};
use crate::TaskStore;

fn sent(id: &str, at: i64) -> Told {
    Told::new(id, TaskEventKind::Sent, NOW.plus(at))
}

/// From whichever task one starts, the same tasks are found, oldest first.
pub async fn a_workflow_is_found_from_each_of_its_tasks<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    let of = |root: &str, parent: Option<&str>, told: Told| Told {
        root: Some(root.to_owned()),
        parent: parent.map(str::to_owned),
        ..told
    };
    let grouped = |told: Told| Told { group: Some("g".into()), ..told };
    let events = [
        of("root", None, sent("root", 0)),
        of("root", Some("root"), sent("child", 1)),
        of("root", Some("child"), sent("grandchild", 2)),
        grouped(of("root", Some("root"), sent("member1", 3))),
        grouped(sent("member2", 4)),
        of("lone", None, sent("lone", 5)),
        of("other", Some("other"), sent("others-child", 6)),
    ];
    // The root comes last: what names it is known before it is.
    store_batch(&store, batch(project, stream, 1, deltas(&events[1..]))).await;
    store_batch(&store, batch(project, stream, 2, deltas(&events[..1]))).await;
    let family = ["root", "child", "grandchild", "member1", "member2"];
    for start in family {
        let tree = store.task_tree(project, ENGINE, start, 100).await.expect("can be read").expect("is known");
        let ids: Vec<_> = tree.tasks.iter().map(|task| task.task_id.as_str()).collect();
        assert_eq!((ids, tree.truncated), (family.to_vec(), false), "from {start}");
    }
}

/// No more than `limit` tasks come, with a word that there are more; the task that was asked for is among them.
pub async fn trees_are_bounded<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    let member = |n: i64| Told { root: Some("root".into()), ..sent(&format!("m{n}"), n) };
    store_batch(&store, batch(project, stream, 1, deltas(&(0..500).map(member).collect::<Vec<_>>()))).await;
    let tree = store.task_tree(project, ENGINE, "m499", 20).await.expect("can be read").expect("is known");
    assert_eq!((tree.tasks.len(), tree.truncated), (20, true));
    assert!(tree.tasks.iter().any(|task| task.task_id == "m499"));
    let tree = store.task_tree(project, ENGINE, "m0", 500).await.expect("can be read").expect("is known");
    assert_eq!((tree.tasks.len(), tree.truncated), (500, false));
}

/// A task without a workflow is a tree of one; a task that is not known has none.
pub async fn a_lone_task_is_its_own_tree<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let stream = open(&store, "a", "").await;
    store_batch(&store, batch(project, stream, 1, deltas(&[sent("t1", 0), sent("t2", 0)]))).await;
    let tree = store.task_tree(project, ENGINE, "t1", 10).await.expect("can be read").expect("is known");
    assert_eq!((tree.tasks.len(), tree.truncated), (1, false));
    assert!(store.task_tree(project, ENGINE, "t3", 10).await.expect("can be read").is_none());
}
