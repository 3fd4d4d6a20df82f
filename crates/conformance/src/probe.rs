//! What a rule's check has at hand: the brain, the token, and a name of its own.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::endpoint::Endpoint;
use crate::http::{self, Answer};
use crate::socket::Socket;
use crate::verdict::Failure;

/// What all checks share.
#[derive(Clone)]
pub(crate) struct Brain {
    pub(crate) endpoint: Endpoint,
    pub(crate) token: String,
    pub(crate) api_key: Option<String>,
    pub(crate) project: String,
    /// The one agent name that may be used, if the token is bound to it.
    pub(crate) bound_name: Option<String>,
    /// Part of every name of this run.
    pub(crate) run: String,
}

/// One check's view of the brain. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Probe {
    pub(crate) brain: Arc<Brain>,
    /// The agent's name.
    pub(crate) agent: String,
    /// The rule's name, as a part of other names.
    pub(crate) rule: String,
}

impl Probe {
    pub(crate) fn new(brain: Arc<Brain>, rule: &str) -> Self {
        let agent = brain.bound_name.clone().unwrap_or_else(|| format!("conformance-{}-{rule}", brain.run));
        Self { brain, agent, rule: rule.to_owned() }
    }

    /// True when the agent's name belongs to this check alone.
    pub(crate) fn has_own_name(&self) -> bool {
        self.brain.bound_name.is_none()
    }

    /// The id of a task, different in every rule and run.
    pub(crate) fn task(&self, name: &str) -> String {
        format!("{}-{}-{name}", self.brain.run, self.rule)
    }

    /// The value of the `Authorization` header.
    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.brain.token)
    }

    /// A `hello` for a stream.
    pub(crate) fn hello(&self, instance_id: &str) -> Value {
        json!({
            "type": "hello",
            "protocol": "v1",
            "agent_name": self.agent,
            "instance_id": instance_id,
            "agent_version": env!("CARGO_PKG_VERSION"),
            "framework": "conformance",
            "engines": ["conformance"],
            "schedulers": ["conformance-scheduler"],
            "capabilities": {},
            "metadata": {},
        })
    }

    /// A connection on which nothing has been said.
    pub(crate) async fn connect(&self) -> Result<Socket, Failure> {
        Socket::connect(self).await
    }

    /// A connection on a stream after `hello`, and what its first `ack` said.
    pub(crate) async fn open(&self, instance_id: &str) -> Result<(Socket, u64), Failure> {
        let mut socket = self.connect().await?;
        socket.send(&self.hello(instance_id)).await?;
        let seq = socket.ack().await.map_err(|failure| failure.at("after hello"))?;
        Ok((socket, seq))
    }

    /// A connection on a new stream.
    pub(crate) async fn open_new(&self) -> Result<Socket, Failure> {
        Ok(self.open(&new_stream()).await?.0)
    }

    /// `POST /ws/longpoll`.
    pub(crate) async fn long_poll(
        &self,
        session: Option<&str>,
        wait: Option<u64>,
        lines: &[String],
    ) -> Result<Answer, Failure> {
        let authorization = self.authorization();
        let mut headers = vec![("authorization", authorization.as_str()), ("content-type", "application/x-ndjson")];
        if let Some(session) = session {
            headers.push(("taskplane-session", session));
        }
        let path = wait.map_or("/ws/longpoll".to_owned(), |wait| format!("/ws/longpoll?wait={wait}"));
        let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
        patiently(async || http::request(&self.brain.endpoint, Method::POST, &path, &headers, body.clone()).await).await
    }

    /// `GET` of the project's REST API; `None` when no API key was given.
    pub(crate) async fn api(&self, path: &str) -> Result<Option<(u16, Value)>, Failure> {
        self.call_api(Method::GET, path, String::new()).await
    }

    /// `POST` to the project's REST API; `None` when no API key was given.
    pub(crate) async fn api_post(&self, path: &str, body: &Value) -> Result<Option<(u16, Value)>, Failure> {
        self.call_api(Method::POST, path, body.to_string()).await
    }

    /// The same check with a token of its own, made through the API for any agent or for a single one; also the token's id there.
    pub(crate) async fn with_new_token(&self, agent: Option<&str>) -> Result<(Self, String), Failure> {
        let Some((status, created)) = self.api_post("agent-tokens", &json!({"agent": agent})).await? else {
            return Err(Failure::untested("needs --api-key of an administrator"));
        };
        let (Some(id), Some(token)) = (created["id"].as_str(), created["token"].as_str()) else {
            return Err(Failure::untested(format!("the API says {status} to a new token")));
        };
        let brain = Brain { token: token.to_owned(), ..(*self.brain).clone() };
        Ok((Self { brain: Arc::new(brain), ..self.clone() }, id.to_owned()))
    }

    /// Revokes a token through the API.
    pub(crate) async fn revoke_token(&self, id: &str) -> Result<(), Failure> {
        match self.call_api(Method::DELETE, &format!("agent-tokens/{id}"), String::new()).await? {
            Some((200..=299, _)) => Ok(()),
            other => Err(Failure::untested(format!("the API does not revoke a token: {other:?}"))),
        }
    }

    async fn call_api(&self, method: Method, path: &str, body: String) -> Result<Option<(u16, Value)>, Failure> {
        let Some(key) = &self.brain.api_key else { return Ok(None) };
        let authorization = format!("Bearer {key}");
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let path = format!("/api/v1/projects/{}/{path}", self.brain.project);
        let answer = http::request(&self.brain.endpoint, method, &path, &headers, body).await?;
        if matches!(answer.status, 401 | 403) {
            return Err(Failure::untested(format!("the API refuses the key: {} for {path}", answer.status)));
        }
        Ok(Some((answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::Null))))
    }

    /// A task of the API; `None` when no API key was given, null when there is no such task.
    pub(crate) async fn stored_task(&self, task_id: &str) -> Result<Option<Value>, Failure> {
        match self.api(&format!("tasks/conformance/{task_id}")).await? {
            None => Ok(None),
            Some((200, task)) => Ok(Some(task)),
            Some((404, _)) => Ok(Some(Value::Null)),
            Some((status, answer)) => Err(Failure::untested(format!("the API says {status} of a task: {answer}"))),
        }
    }

    /// A number of the API's view of this agent, once it is `expected`; `None` when no API key was given, or the name is shared.
    pub(crate) async fn counted(&self, field: &str, expected: u64) -> Result<Option<u64>, Failure> {
        if !self.has_own_name() {
            return Ok(None);
        }
        let mut seen = Value::Null;
        for _ in 0..50 {
            let Some((status, agents)) = self.api("agents").await? else { return Ok(None) };
            if status != 200 {
                return Err(Failure::untested(format!("the API says {status} of the agents")));
            }
            let agent = agents["items"].as_array().into_iter().flatten().find(|agent| agent["name"] == *self.agent);
            seen = agent.map_or(Value::Null, |agent| agent[field].clone());
            if seen == expected {
                return Ok(Some(expected));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(Failure::broken(format!("the API shows {field} {seen} of the agent, and not {expected}")))
    }
}

/// Asks again while the brain says that it is asked too often.
pub(crate) async fn patiently(request: impl AsyncFn() -> Result<Answer, Failure>) -> Result<Answer, Failure> {
    let mut answer = request().await?;
    for _ in 0..10 {
        if !matches!(answer.status, 429 | 503) {
            break;
        }
        let seconds = answer.header("retry-after").parse().unwrap_or(1_u64).clamp(1, 5);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        answer = request().await?;
    }
    Ok(answer)
}

/// The id of a stream that nobody has used.
pub(crate) fn new_stream() -> String {
    Uuid::new_v4().to_string()
}

/// A batch of one event about `task`.
pub(crate) fn batch(seq: u64, task: &str) -> Value {
    json!({"type": "event_batch", "seq": seq, "events": [sent(task)]})
}

/// The event of a task that was sent.
pub(crate) fn sent(task: &str) -> Value {
    event("task_sent", task)
}

/// An event of a task, with a time that is fixed: a batch that is sent again must be the same.
pub(crate) fn event(event_type: &str, task: &str) -> Value {
    json!({
        "event_type": event_type,
        "task_id": task,
        "engine": "conformance",
        "ts": now(),
        "name": "conformance.task",
        "queue": "conformance",
    })
}

/// The time at which this run began, RFC 3339.
pub(crate) fn now() -> &'static str {
    static NOW: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    NOW.get_or_init(|| jiff::Timestamp::now().to_string())
}
