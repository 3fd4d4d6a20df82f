//! A brain over a store in a folder of its own, asked without a socket.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};
use taskplane_brain::brain::Brain;
use taskplane_brain::ingest::{BatchOrigin, Inlet, fold};
use taskplane_brain::{auth, clock, server};
use taskplane_model::access::Role;
use taskplane_model::agent::AgentProfile;
use taskplane_protocol::frame::AgentFrame;
use taskplane_store::ingest::StreamToOpen;
use taskplane_store_sqlite::SqliteStore;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Everything of the project that a new store has.
pub(crate) const PROJECT: &str = "/api/v1/projects/default";

pub(crate) struct TestBrain {
    pub(crate) brain: Brain,
    router: Router,
    keys: [String; 3],
    _folder: TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// The problem's code, after checking that this is a whole problem document.
    pub(crate) fn problem(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.header(header::CONTENT_TYPE), "application/problem+json");
        let document = self.json();
        assert_eq!(document["status"], status);
        for key in ["type", "title", "detail", "code"] {
            assert!(document[key].as_str().is_some_and(|text| !text.is_empty()), "{key} of {document}");
        }
        document["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl TestBrain {
    pub(crate) async fn start() -> Self {
        Self::start_at("http://127.0.0.1:7440").await
    }

    pub(crate) async fn start_at(public_url: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Arc::new(SqliteStore::open(folder.path()).expect("a store"));
        let brain = Brain::start(store, public_url, CancellationToken::new()).await.expect("a brain");
        let mut keys = Vec::new();
        for role in [Role::Viewer, Role::Operator, Role::Admin] {
            let key = auth::issue_api_key(&*brain.store, "default", role, "test", clock::now()).await;
            keys.push(key.expect("a key"));
        }
        let keys = keys.try_into().expect("three");
        Self { router: server::routes(brain.clone()), brain, keys, _folder: folder }
    }

    pub(crate) fn key(&self, role: Role) -> &str {
        &self.keys[role as usize]
    }

    /// A request with a role's key; paths that do not begin with a slash are the project's.
    pub(crate) fn request(&self, role: Role, method: Method, path: &str) -> axum::http::request::Builder {
        let bearer = format!("Bearer {}", self.key(role));
        anonymous(method, path).header(header::AUTHORIZATION, bearer)
    }

    pub(crate) async fn respond(&self, mut request: Request<Body>) -> Response {
        if request.extensions().get::<ConnectInfo<SocketAddr>>().is_none() {
            request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 50_000))));
        }
        self.router.clone().oneshot(request).await.expect("infallible")
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.respond(request).await.into_parts();
        let body = to_bytes(body, 16 << 20).await.expect("a body");
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Role::Viewer, Method::GET, path).body(Body::empty()).expect("a request")).await
    }

    /// The items of all pages of a list, page after page.
    pub(crate) async fn pages(&self, list: &str, limit: usize) -> Vec<Value> {
        let mut items = Vec::new();
        let mut path = format!("{list}?limit={limit}");
        for _ in 0..20 {
            let page = self.get(&path).await.json();
            let new = page["items"].as_array().expect("items");
            assert!(new.len() <= limit, "{path}");
            items.extend(new.iter().cloned());
            match page["next_cursor"].as_str() {
                Some(cursor) => path = format!("{list}?limit={limit}&cursor={cursor}"),
                None => return items,
            }
        }
        panic!("{list} has no end");
    }

    pub(crate) async fn post(&self, role: Role, path: &str, body: &Value) -> Answer {
        let request = self.request(role, Method::POST, path).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(body.to_string())).expect("a request")).await
    }

    /// Feeds events in, as an agent called `web` would, and waits until they are stored.
    pub(crate) async fn tell(&self, seq: u64, events: Value) {
        let stream = StreamToOpen {
            project: self.project_id().await,
            agent_name: "web".into(),
            instance_id: "i1".into(),
            profile: AgentProfile { engines: vec!["celery".into()], ..AgentProfile::default() },
        };
        let opened = self.brain.store.open_stream(stream.clone(), clock::now()).await.expect("a stream");
        let text = json!({ "type": "event_batch", "seq": seq, "events": events }).to_string();
        let AgentFrame::EventBatch(batch) = AgentFrame::parse(&text).expect("a frame") else { panic!("not a batch") };
        let origin = BatchOrigin {
            project: stream.project,
            agent: opened.agent,
            stream: opened.stream,
            only_engine: Some("celery".into()),
        };
        let stored = self.brain.ingest.submit(&Inlet::new("token"), fold(&batch, &origin, clock::now())).await;
        stored.await.expect("answered").expect("stored");
    }

    pub(crate) async fn project_id(&self) -> u64 {
        self.brain.store.project("default").await.expect("a store").expect("the project").id
    }
}

impl Drop for TestBrain {
    fn drop(&mut self) {
        self.brain.stop.cancel();
    }
}

/// A request without credentials; paths that do not begin with a slash are the project's.
pub(crate) fn anonymous(method: Method, path: &str) -> axum::http::request::Builder {
    let uri = if path.starts_with('/') { path.to_owned() } else { format!("{PROJECT}/{path}") };
    Request::builder().method(method).uri(uri).header(header::HOST, "127.0.0.1:7440")
}

/// An event of a celery task.
pub(crate) fn event(event_type: &str, task_id: &str, more: Value) -> Value {
    let mut event = json!({
        "event_type": event_type,
        "ts": clock::now().to_string(),
        "engine": "celery",
        "task_id": task_id,
    });
    if let (Some(event), Value::Object(more)) = (event.as_object_mut(), more) {
        event.extend(more);
    }
    event
}
