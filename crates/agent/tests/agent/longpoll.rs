//! Long-poll where WebSockets do not get through: against a scripted brain that speaks HTTP by hand.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::brain::{ScriptedBrain, soon, task_ids};
use crate::engine::{config, ids, start};

/// What the brain was asked.
#[derive(Debug)]
struct Asked {
    target: String,
    session: Option<String>,
    authorization: String,
    frames: Vec<Value>,
}

/// What the brain does with upgrades and long-polls.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    /// Upgrades are answered with this.
    Blocks(&'static str),
    /// Upgrades are closed without an answer.
    CutsOff,
    /// Long-polls are answered with this.
    Answers(&'static str, &'static str),
    /// Sessions are gone as soon as they have begun.
    Forgets,
    /// Upgrades get through to a brain on this port.
    Open(u16),
}

/// A network that lets no upgrade through, and a brain behind it.
struct Polled {
    url: String,
    mode: watch::Sender<Mode>,
    asked: mpsc::UnboundedReceiver<Asked>,
    upgrades: watch::Receiver<usize>,
    /// Long-polls that were not taken, but answered as the mode says.
    turned_away: watch::Receiver<usize>,
    /// Frames that wait for the next long-poll, which is answered as soon as there are some.
    leaving: Arc<Mutex<VecDeque<Value>>>,
    changed: watch::Sender<u64>,
    _accepting: JoinSet<()>,
}

#[derive(Clone)]
struct Hands {
    mode: watch::Receiver<Mode>,
    asked: mpsc::UnboundedSender<Asked>,
    upgrades: watch::Sender<usize>,
    turned_away: watch::Sender<usize>,
    leaving: Arc<Mutex<VecDeque<Value>>>,
    changed: watch::Receiver<u64>,
    newest: watch::Sender<u64>,
}

impl Polled {
    async fn start(mode: Mode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let url = format!("ws://{}/base", listener.local_addr().expect("address"));
        let ((mode, modes), (to_test, asked)) = (watch::channel(mode), mpsc::unbounded_channel());
        let ((changed, changes), (upgraded, upgrades)) = (watch::channel(0), watch::channel(0));
        let (turning_away, turned_away) = watch::channel(0);
        let leaving = Arc::default();
        let hands = Hands {
            mode: modes,
            asked: to_test,
            upgrades: upgraded,
            turned_away: turning_away,
            leaving: Arc::clone(&leaving),
            changed: changes,
            newest: watch::Sender::new(0),
        };
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(hands.clone().serve(stream));
            }
        });
        Self { url, mode, asked, upgrades, turned_away, leaving, changed, _accepting: accepting }
    }

    /// The next request that carries frames.
    async fn asked(&mut self) -> Asked {
        loop {
            let asked = soon(self.asked.recv()).await.expect("a request");
            if asked.frames.iter().any(|frame| frame["type"] != "heartbeat") {
                return asked;
            }
        }
    }

    /// Waits until a long-poll was turned away.
    async fn turns_away(&mut self) {
        soon(self.turned_away.wait_for(|count| *count > 0)).await.expect("the brain is there");
    }

    fn say(&self, frame: Value) {
        self.leaving.lock().expect("not poisoned").push_back(frame);
        self.changed.send_modify(|changes| *changes += 1);
    }

    async fn welcome(&mut self) -> Asked {
        let asked = self.asked().await;
        assert_eq!((&asked.frames[0]["type"], &asked.session), (&json!("hello"), &None));
        self.say(json!({"type": "ack", "seq": 0}));
        asked
    }

    /// The ids of the tasks in batches, until there are so many; each is acked.
    async fn tasks(&mut self, count: usize) -> Vec<String> {
        let mut tasks = Vec::new();
        while tasks.len() < count {
            let asked = self.asked().await;
            assert_eq!(asked.session.as_deref(), Some("the session"));
            for batch in asked.frames.iter().filter(|frame| frame["type"] == "event_batch") {
                tasks.extend(task_ids(&batch.to_string()));
                self.say(json!({"type": "ack", "seq": batch["seq"]}));
            }
        }
        tasks
    }
}

impl Hands {
    async fn serve(mut self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        while let Some((asked, upgrade)) = read_request(&mut stream).await {
            let mode = *self.mode.borrow();
            let (is_upgrade, is_in_session) = (upgrade.is_some(), asked.session.is_some());
            let answer = match mode {
                Mode::Open(port) if is_upgrade => return forward(stream, port, &upgrade.unwrap_or_default()).await,
                Mode::Blocks(status) if is_upgrade => http(status, ""),
                Mode::CutsOff if is_upgrade => String::new(),
                Mode::Answers(status, body) if !is_upgrade => http(status, body),
                Mode::Forgets if asked.session.is_some() => http("410 Gone", r#"{"error":"session_gone"}"#),
                _ if is_upgrade => http("403 Forbidden", ""),
                _ => self.polled(asked).await,
            };
            self.upgrades.send_modify(|count| *count += usize::from(is_upgrade));
            let is_turned_away =
                !is_upgrade && (matches!(mode, Mode::Answers(..)) || mode == Mode::Forgets && is_in_session);
            self.turned_away.send_modify(|count| *count += usize::from(is_turned_away));
            if answer.is_empty() || stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    /// Holds a poll until there is something to say or a newer one comes.
    async fn polled(&mut self, asked: Asked) -> String {
        let mut number = 0;
        self.newest.send_modify(|newest| {
            *newest += 1;
            number = *newest;
        });
        let wait = asked.target.split_once("?wait=").and_then(|(_, wait)| wait.parse().ok()).expect("a wait");
        let _ = self.asked.send(asked);
        let mut newest = self.newest.subscribe();
        let held = async {
            loop {
                let frames: Vec<String> =
                    self.leaving.lock().expect("not poisoned").drain(..).map(|frame| frame.to_string()).collect();
                if !frames.is_empty() {
                    return frames.join("\n");
                }
                tokio::select! {
                    _ = self.changed.changed() => {}
                    _ = newest.wait_for(|newest| *newest > number) => return String::new(),
                }
            }
        };
        let body = tokio::time::timeout(Duration::from_secs(wait), held).await.unwrap_or_default();
        http("200 OK\r\nTaskplane-Session: the session", &body)
    }
}

async fn forward(mut stream: BufReader<TcpStream>, port: u16, request: &str) {
    let mut brain = TcpStream::connect(("127.0.0.1", port)).await.expect("a brain");
    brain.write_all(request.as_bytes()).await.expect("writes");
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut brain).await;
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// The next request, and the text of its head when it is an upgrade.
async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<(Asked, Option<String>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let header = |name: &str| {
        let named = |line: &&String| line.to_ascii_lowercase().starts_with(&format!("{name}:"));
        lines.iter().find(named).and_then(|line| Some(line.split_once(':')?.1.trim().to_owned()))
    };
    let mut body = vec![0; header("content-length").map_or(0, |len| len.parse().expect("a number"))];
    stream.read_exact(&mut body).await.ok()?;
    let text = String::from_utf8(body).expect("text");
    let asked = Asked {
        target: lines[0].split(' ').nth(1).expect("a target").to_owned(),
        session: header("taskplane-session"),
        authorization: header("authorization").unwrap_or_default(),
        frames: text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect(),
    };
    let head = header("upgrade").map(|_| lines.join("\r\n") + "\r\n\r\n");
    Some((asked, head))
}

#[tokio::test]
async fn after_three_upgrades_that_fail_events_and_commands_go_by_long_poll() {
    for mode in [Mode::Blocks("403 Forbidden"), Mode::Blocks("200 OK"), Mode::CutsOff] {
        let dir = tempfile::tempdir().expect("dir");
        let mut brain = Polled::start(mode).await;
        let mut times = config(&brain.url, dir.path());
        times.reconnect.websocket_check = Duration::from_secs(300);
        let agent = start(times);
        let hello = brain.welcome().await;
        assert_eq!(*brain.upgrades.borrow(), 3, "{mode:?}");
        assert!(hello.target.starts_with("/base/ws/longpoll?wait="), "{hello:?}");
        assert_eq!(hello.authorization, "Bearer tp_test");
        agent.sees_tasks(0, 1200).await;
        assert_eq!(brain.tasks(1200).await, ids(0, 1200));
        brain.say(json!({"type": "command", "cmd_id": "c1", "cmd": "retry_task", "args": {"task_id": "t"}}));
        let answer = brain.asked().await;
        let result = answer.frames.iter().find(|frame| frame["type"] == "command_result").expect("an answer");
        assert_eq!((&result["cmd_id"], &result["ok"]), (&json!("c1"), &json!(true)));
        assert_eq!(*brain.upgrades.borrow(), 3);
        agent.sees_tasks(1200, 1201).await;
        assert_eq!(brain.tasks(1).await, ids(1200, 1201));
        agent.stop().await;
    }
}

#[tokio::test]
async fn the_websocket_is_tried_again_and_taken_when_it_works() {
    let dir = tempfile::tempdir().expect("dir");
    let mut brain = Polled::start(Mode::Blocks("403 Forbidden")).await;
    let agent = start(config(&brain.url, dir.path()));
    brain.welcome().await;
    let mut upgrades = brain.upgrades.clone();
    soon(upgrades.wait_for(|count| *count >= 5)).await.expect("it is tried");
    agent.sees_tasks(0, 1).await;
    assert_eq!(brain.tasks(1).await, ids(0, 1), "the session goes on meanwhile");
    let repaired = ScriptedBrain::start().await;
    brain.mode.send_replace(Mode::Open(repaired.port()));
    let mut visit = repaired.visit().await;
    assert_eq!(visit.frame().await["type"], "hello");
    visit.ack(1).await;
    agent.sees_tasks(1, 2).await;
    assert_eq!(visit.batch().await.0, 2);
    agent.stop().await;
}

#[tokio::test]
async fn a_session_that_is_gone_is_begun_again_and_nothing_is_lost() {
    let dir = tempfile::tempdir().expect("dir");
    let mut brain = Polled::start(Mode::Blocks("403 Forbidden")).await;
    let agent = start(config(&brain.url, dir.path()));
    brain.welcome().await;
    brain.mode.send_replace(Mode::Answers("410 Gone", r#"{"error":"session_gone"}"#));
    agent.sees_tasks(0, 5).await;
    brain.turns_away().await;
    brain.mode.send_replace(Mode::Blocks("403 Forbidden"));
    brain.changed.send_modify(|changes| *changes += 1);
    brain.welcome().await;
    assert_eq!(brain.tasks(5).await, ids(0, 5));
    agent.stop().await;
}

#[tokio::test]
async fn closes_mean_the_same_as_those_of_a_websocket() {
    for (status, body, stays_away) in [
        ("426 Upgrade Required", r#"{"error":"protocol_mismatch","close_code":4001}"#, true),
        ("409 Conflict", r#"{"error":"closed","close_code":4003,"reason":"revoked"}"#, true),
        ("409 Conflict", r#"{"error":"closed","close_code":1001,"reason":"restarting"}"#, false),
        ("401 Unauthorized", "", false),
        ("429 Too Many Requests", "", false),
        ("502 Bad Gateway", "", false),
    ] {
        let dir = tempfile::tempdir().expect("dir");
        let mut brain = Polled::start(Mode::Answers(status, body)).await;
        let agent = start(config(&brain.url, dir.path()));
        let mut upgrades = brain.upgrades.clone();
        soon(upgrades.wait_for(|count| *count >= 3)).await.expect("three upgrades");
        brain.turns_away().await;
        brain.mode.send_replace(Mode::Blocks("403 Forbidden"));
        if stays_away {
            let comes = tokio::time::timeout(Duration::from_millis(400), brain.asked.recv()).await;
            assert!(comes.is_err(), "{status} {body}");
        } else {
            brain.welcome().await;
        }
        agent.stop().await;
    }
}

#[tokio::test]
async fn the_websocket_is_looked_for_however_short_the_sessions_are() {
    let dir = tempfile::tempdir().expect("dir");
    let mut brain = Polled::start(Mode::Forgets).await;
    let mut times = config(&brain.url, dir.path());
    // Many times as long as a session, on a busy machine too.
    times.reconnect.websocket_check = Duration::from_secs(5);
    let agent = start(times);
    let began = tokio::time::Instant::now();
    let mut sessions = 0;
    while *brain.upgrades.borrow() < 4 {
        assert!(began.elapsed() < Duration::from_secs(120), "the WebSocket is not tried again");
        brain.welcome().await;
        sessions += 1;
    }
    assert!(sessions >= 3, "{sessions}");
    agent.stop().await;
}
