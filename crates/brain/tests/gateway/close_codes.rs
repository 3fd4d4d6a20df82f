//! The table of close codes, row by row, on both transports.

use std::time::{Duration, Instant};

use taskplane_brain::clock;
use taskplane_brain::gateway::GatewayLimits;
use taskplane_store::AccessStore;
use taskplane_store::access::NewAudit;
use taskplane_store_sqlite::SqliteStore;

use crate::agent::{plain, rich};
use crate::brain::{SOON, TestBrain};
use crate::events::life;
use crate::poller::gone;
use crate::transport::{BOTH, Peer};

async fn open(brain: &TestBrain, transport: crate::transport::Transport, name: &str) -> Peer {
    let token = brain.token(None).await;
    Peer::open(brain, transport, &token.text, &plain(name), 0).await
}

#[tokio::test]
async fn code_1001_the_brain_stops() {
    let brain = TestBrain::start().await;
    let mut ends = Vec::new();
    for transport in BOTH {
        let mut peer = open(&brain, transport, &format!("{transport:?}")).await;
        peer.tell(1, life("t1")).await;
        ends.push(tokio::spawn(peer.closed()));
    }
    let waits = async || (brain.brain.metrics.longpoll_waiting.get() == 1).then_some(());
    crate::brain::until("the poll waits", crate::brain::PATIENCE, waits).await;
    let brain = brain.restart().await;
    for end in ends {
        assert_eq!(end.await.expect("ends").0, 1001);
    }
    for transport in BOTH {
        let token = brain.token(None).await;
        Peer::open(&brain, transport, &token.text, &plain(&format!("{transport:?}")), 1).await;
    }
}

#[tokio::test]
async fn code_1007_what_is_no_frame() {
    let brain = TestBrain::start().await;
    for transport in BOTH {
        let wrong: [&[u8]; 5] =
            [b"nonsense", b"[]", b"{\"type\":7}", b"{\"type\":\"\xff\"}", b"{\"type\":\"event_batch\",\"seq\":0}"];
        for bytes in wrong {
            let (code, reason) = open(&brain, transport, "web").await.closed_after(bytes.to_vec()).await;
            assert_eq!(code, 1007, "{transport:?} {bytes:?} {reason}");
            assert!(!reason.is_empty());
        }
    }
}

#[tokio::test]
async fn code_1009_a_frame_over_the_limit() {
    let brain = TestBrain::start().await;
    for transport in BOTH {
        for bytes in [(4 << 20) + 1, 12 << 20] {
            let (code, _) = open(&brain, transport, "web").await.closed_after(vec![b'x'; bytes]).await;
            assert_eq!(code, 1009, "{transport:?}");
        }
    }
}

#[tokio::test]
async fn code_1013_the_store_cannot_be_written_for_too_long() {
    let limits = GatewayLimits { store_patience: Duration::from_millis(300), ..GatewayLimits::default() };
    let (brain, faults) = TestBrain::start_faulty(limits).await;
    for transport in BOTH {
        let peer = open(&brain, transport, &format!("{transport:?}")).await;
        faults.fill_disk();
        let frame = crate::agent::batch(1, life("t1")).to_string();
        let (code, reason) = peer.closed_after(frame.into_bytes()).await;
        assert_eq!(code, 1013, "{transport:?} {reason}");
        faults.free_disk();
        // Nothing was stored, so nothing was acked.
        let token = brain.token(None).await;
        Peer::open(&brain, transport, &token.text, &plain(&format!("{transport:?}")), 0)
            .await
            .tell(1, life("t1"))
            .await;
    }
}

#[tokio::test]
async fn code_4000_the_first_frame_is_no_hello() {
    let brain = TestBrain::start().await;
    for transport in BOTH {
        for first in [r#"{"type":"heartbeat"}"#, r#"{"no":"type"}"#, r#"{"type":"hello","protocol":"v1"}"#] {
            let token = brain.token(None).await;
            let (code, reason) = match Peer::begin(&brain, transport, &token.text, first).await {
                (_, Some(reply)) => reply.closed(),
                (peer, None) => peer.closed().await,
            };
            assert_eq!(code, 4000, "{transport:?} {first} {reason}");
        }
    }
    // A first request without any frame.
    let mut empty = crate::poller::Poller::new(&brain, &brain.token(None).await.text);
    assert_eq!(empty.post("\n\n", 25).await.closed().0, 4000);
}

#[tokio::test]
async fn code_4001_another_major_version() {
    let brain = TestBrain::start().await;
    for transport in BOTH {
        let token = brain.token(None).await;
        let mut hello = plain("web");
        hello["protocol"] = "v2".into();
        let (code, _) = match Peer::begin(&brain, transport, &token.text, &hello.to_string()).await {
            (_, Some(reply)) => reply.closed(),
            (peer, None) => peer.closed().await,
        };
        assert_eq!(code, 4001, "{transport:?}");
    }
}

#[tokio::test]
async fn code_4003_the_token_is_bound_to_another_name() {
    let brain = TestBrain::start().await;
    for transport in BOTH {
        let token = brain.token(Some("web-01")).await;
        let (code, reason) = match Peer::begin(&brain, transport, &token.text, &plain("web-02").to_string()).await {
            (_, Some(reply)) => reply.closed(),
            (peer, None) => peer.closed().await,
        };
        assert_eq!(code, 4003, "{transport:?}");
        assert!(reason.contains("another agent name"), "{reason}");
    }
}

#[tokio::test]
async fn code_4003_the_token_is_revoked() {
    let brain = TestBrain::start().await;
    for transport in BOTH {
        let token = brain.token(None).await;
        let peer = Peer::open(&brain, transport, &token.text, &plain("web"), 0).await;
        let began = Instant::now();
        brain.revoke(&token).await;
        assert_eq!(peer.closed().await.0, 4003, "{transport:?}");
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn code_4003_the_token_is_revoked_by_another_process() {
    let brain = TestBrain::start().await;
    let project = brain.brain.store.project("default").await.expect("can be read").expect("is there").id;
    let (kept, revoked) = (brain.token(None).await, brain.token(None).await);
    let mut other = Peer::open(&brain, BOTH[0], &kept.text, &plain("other"), 0).await;
    let mut ends = Vec::new();
    for transport in BOTH {
        let peer = Peer::open(&brain, transport, &revoked.text, &rich("web", &format!("{transport:?}")), 0).await;
        ends.push(tokio::spawn(async move { (peer.closed().await.0, Instant::now()) }));
    }
    let elsewhere = SqliteStore::open(brain.folder()).expect("opens");
    let audit = NewAudit { actor: "operator".into(), action: "revoke_agent_token".into(), target: None, detail: None };
    assert!(elsewhere.revoke_agent_token(project, &revoked.id, audit, clock::now()).await.expect("is revoked"));
    let began = Instant::now();
    for end in ends {
        let (code, at) = end.await.expect("ends");
        assert_eq!(code, 4003);
        assert!(at - began < SOON, "{:?}", at - began);
    }
    other.tell(1, life("t1")).await;
}

#[tokio::test]
async fn code_4009_a_newer_connection_of_the_stream() {
    let brain = TestBrain::start().await;
    for first in BOTH {
        for second in BOTH {
            let hello = rich("web", &format!("{first:?}-{second:?}"));
            let (a, b) = (brain.token(None).await, brain.token(None).await);
            let mut old = Peer::open(&brain, first, &a.text, &hello, 0).await;
            old.tell(1, life("t1")).await;
            let mut new = Peer::open(&brain, second, &b.text, &hello, 1).await;
            assert_eq!(old.closed().await.0, 4009, "{first:?} then {second:?}");
            new.tell(2, life("t2")).await;
        }
    }
}

#[tokio::test]
async fn a_close_is_told_once_and_then_the_session_is_gone() {
    let brain = TestBrain::start().await;
    let Peer::LongPoll(mut poller) = open(&brain, BOTH[1], "web").await else { panic!("polls") };
    assert_eq!(poller.post("nonsense", 25).await.closed().0, 1007);
    assert_eq!(poller.post("", 0).await, gone());
}
