//! Tokens, keys, sign-in, audit.

use taskplane_model::access::Role;

use super::Subject;
use super::samples::{NOW, audit, default_project};
use crate::AccessStore;
use crate::tasks::Page;

/// A fresh store has a project called `default`, and no other.
pub async fn there_is_a_default_project<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let projects = store.projects().await.expect("can be read");
    assert_eq!(projects.iter().map(|project| project.name.as_str()).collect::<Vec<_>>(), ["default"]);
    assert_eq!(store.project("default").await.expect("can be read").as_ref(), projects.first());
    assert_eq!(store.project("other").await.expect("can be read"), None);
}

/// A token opens its project, bound or open, until it is revoked.
pub async fn agent_tokens_open_until_revoked<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let open = store.create_agent_token(project, None, [1; 32], audit("make"), NOW).await.expect("is kept");
    let bound =
        store.create_agent_token(project, Some("web"), [2; 32], audit("make"), NOW.plus(1)).await.expect("is kept");
    assert_ne!(open.id, bound.id);
    let grant = store.agent_token([2; 32]).await.expect("can be read").expect("opens");
    assert_eq!((grant.project, grant.agent.as_deref(), &grant.token_id), (project, Some("web"), &bound.id));
    assert_eq!(store.agent_token([1; 32]).await.expect("can be read").expect("opens").agent, None);
    assert_eq!(store.agent_token([3; 32]).await.expect("can be read"), None);
    assert_eq!(store.agent_tokens(project).await.expect("can be read"), [bound.clone(), open.clone()]);
    let now = NOW.plus(9);
    assert!(!store.revoke_agent_token(project, "nothing", audit("revoke"), now).await.expect("is answered"));
    assert!(!store.revoke_agent_token(project + 1, &bound.id, audit("revoke"), now).await.expect("is answered"));
    assert!(store.revoke_agent_token(project, &bound.id, audit("revoke"), now).await.expect("is revoked"));
    assert!(!store.revoke_agent_token(project, &bound.id, audit("revoke"), now).await.expect("is answered"));
    assert_eq!(store.agent_token([2; 32]).await.expect("can be read"), None);
    assert_eq!(store.agent_tokens(project).await.expect("can be read"), [open]);
    let (entries, _) = store.audit(project, Page { limit: 10, cursor: None }).await.expect("can be read");
    assert_eq!(entries.iter().filter(|entry| entry.what.action == "revoke").count(), 1);
}

/// Of many tokens, those are told that open nothing any more, whoever revoked them.
pub async fn revoked_tokens_are_found_among_many<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    let mut ids = Vec::new();
    for byte in 0..5 {
        ids.push(store.create_agent_token(project, None, [byte; 32], audit("make"), NOW).await.expect("is kept").id);
    }
    assert_eq!(store.revoked_agent_tokens(Vec::new()).await.expect("can be read"), Vec::<String>::new());
    assert_eq!(store.revoked_agent_tokens(ids.clone()).await.expect("can be read"), Vec::<String>::new());
    // Another process on the same database.
    let other = subject.open().await;
    for id in [&ids[1], &ids[3]] {
        assert!(other.revoke_agent_token(project, id, audit("revoke"), NOW).await.expect("is revoked"));
    }
    let unknown = "neither here nor there".to_owned();
    let asked = ids.iter().chain([&unknown]).cloned().collect();
    let mut found = store.revoked_agent_tokens(asked).await.expect("can be read");
    found.sort_unstable();
    let mut expected = vec![ids[1].clone(), ids[3].clone(), unknown];
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(store.revoked_agent_tokens(vec![ids[0].clone()]).await.expect("can be read"), Vec::<String>::new());
}

/// A key opens its project with its role.
pub async fn api_keys_open_their_project<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    for (byte, role) in [(1, Role::Viewer), (2, Role::Operator), (3, Role::Admin)] {
        let made = store.create_api_key(project, role, [byte; 32], audit("key"), NOW).await.expect("is kept");
        assert_eq!((made.project, made.role), (project, role));
        assert_eq!(store.api_key([byte; 32]).await.expect("can be read"), Some(made));
    }
    assert_eq!(store.api_key([9; 32]).await.expect("can be read"), None);
    assert_eq!(store.agent_token([1; 32]).await.expect("can be read"), None, "a key is no token");
}

/// A link opens one session, once.
pub async fn signin_links_work_once<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let later = NOW.plus(1_000);
    store.create_signin_link([1; 32], Role::Operator, later, NOW).await.expect("is kept");
    let session = store.redeem_signin_link([1; 32], [2; 32], later, NOW.plus(1)).await.expect("is answered");
    let session = session.expect("opens a session");
    assert_eq!((session.role, session.expires), (Role::Operator, later));
    assert_eq!(store.redeem_signin_link([1; 32], [3; 32], later, NOW.plus(2)).await.expect("is answered"), None);
    assert_eq!(store.redeem_signin_link([7; 32], [3; 32], later, NOW.plus(2)).await.expect("is answered"), None);
    assert_eq!(store.session([2; 32], NOW.plus(2)).await.expect("can be read"), Some(session));
    assert_eq!(store.session([3; 32], NOW.plus(2)).await.expect("can be read"), None);
}

/// Both end at the instant that was set.
pub async fn signin_links_and_sessions_expire<S: Subject>(subject: &S) {
    let store = subject.open().await;
    store.create_signin_link([1; 32], Role::Admin, NOW.plus(10), NOW).await.expect("is kept");
    assert_eq!(
        store.redeem_signin_link([1; 32], [2; 32], NOW.plus(50), NOW.plus(10)).await.expect("is answered"),
        None
    );
    store.create_signin_link([3; 32], Role::Admin, NOW.plus(10), NOW).await.expect("is kept");
    let session = store.redeem_signin_link([3; 32], [4; 32], NOW.plus(50), NOW.plus(9)).await.expect("is answered");
    assert!(session.is_some());
    assert!(store.session([4; 32], NOW.plus(49)).await.expect("can be read").is_some());
    assert_eq!(store.session([4; 32], NOW.plus(50)).await.expect("can be read"), None);
}

/// A session that was ended opens nothing.
pub async fn sessions_end<S: Subject>(subject: &S) {
    let store = subject.open().await;
    for byte in [1, 2] {
        store.create_signin_link([byte; 32], Role::Viewer, NOW.plus(10), NOW).await.expect("is kept");
        store.redeem_signin_link([byte; 32], [byte + 10; 32], NOW.plus(50), NOW).await.expect("opens a session");
    }
    store.end_session([11; 32], NOW).await.expect("is ended");
    store.end_session([99; 32], NOW).await.expect("is ignored");
    assert_eq!(store.session([11; 32], NOW).await.expect("can be read"), None);
    assert!(store.session([12; 32], NOW).await.expect("can be read").is_some());
}

/// A store is unclaimed until the first key or link, and never again, whatever is used up or ended since.
pub async fn the_first_start_is_known<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    assert!(store.is_unclaimed().await.expect("can be read"));
    store.create_agent_token(project, None, [1; 32], audit("make"), NOW).await.expect("is kept");
    assert!(store.is_unclaimed().await.expect("can be read"), "an agent is not a person");
    store.create_signin_link([1; 32], Role::Admin, NOW.plus(1), NOW).await.expect("is kept");
    assert!(!store.is_unclaimed().await.expect("can be read"));
    store.redeem_signin_link([1; 32], [2; 32], NOW.plus(2), NOW).await.expect("opens a session");
    store.end_session([2; 32], NOW).await.expect("is ended");
    drop(store);
    assert!(!subject.open().await.is_unclaimed().await.expect("can be read"));
}

/// The audit comes newest first, in pages.
pub async fn audit_is_kept_in_order<S: Subject>(subject: &S) {
    let store = subject.open().await;
    let project = default_project(&store).await;
    for byte in 0..7 {
        let action = format!("action{byte}");
        store
            .create_agent_token(project, None, [byte; 32], audit(&action), NOW.plus(byte.into()))
            .await
            .expect("is kept");
    }
    let (first, next) = store.audit(project, Page { limit: 4, cursor: None }).await.expect("can be read");
    let (second, end) = store.audit(project, Page { limit: 4, cursor: next }).await.expect("can be read");
    assert_eq!((first.len(), second.len(), end), (4, 3, None));
    let all: Vec<_> = first.into_iter().chain(second).collect();
    let actions: Vec<_> = all.iter().map(|entry| entry.what.action.clone()).collect();
    assert_eq!(actions, (0..7).rev().map(|n| format!("action{n}")).collect::<Vec<_>>());
    let what = crate::access::NewAudit { action: "action6".into(), ..audit("") };
    assert_eq!((&all[0].what, all[0].at, all[0].command_id.as_deref()), (&what, NOW.plus(6), None));
    assert!(all.windows(2).all(|two| two[0].id > two[1].id));
    let (none, _) = store.audit(project + 1, Page { limit: 4, cursor: None }).await.expect("can be read");
    assert!(none.is_empty());
}
