//! Calls, and what is said when one does not come through.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;

use super::tls::with_tls;
use super::{refusal, tls};
use crate::arguments::ApiOptions;
use crate::wrong_usage::WrongUsage;

/// A brain that is there takes a connection within so long.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Longest call: longer than the longest wait for the end of a command.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Most tasks that the API gives at once.
const PAGE: usize = 200;

/// One project of a running brain.
pub(crate) struct Api {
    client: Client,
    project: Url,
    /// The environment variable that names a proxy on the way.
    proxy: Option<&'static str>,
    shown: String,
}

impl Api {
    /// Calls the brain that `options` name; nothing is sent yet.
    ///
    /// # Errors
    /// When the address or the key cannot be used.
    pub(crate) fn new(options: &ApiOptions) -> Result<Self> {
        let base = address(&options.url)?;
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, credentials(options.api_key.as_deref())?);
        let mut client = Client::builder()
            .default_headers(headers)
            // The key goes to the address that was given, and nowhere else.
            .redirect(Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            .user_agent(concat!("taskplane/", env!("CARGO_PKG_VERSION")));
        let mut proxy = proxy_variable(base.scheme());
        if matches!(base.host_str(), Some("127.0.0.1" | "[::1]" | "localhost")) {
            (client, proxy) = (client.no_proxy(), None);
        }
        let client = with_tls(client, base.scheme() == "https", &options.tls)?;
        let project = under(&base, &["api", "v1", "projects", &options.project]);
        let client = client.build().map_err(|error| {
            anyhow!(
                "TLS cannot be prepared ({}): give the CA of the brain's certificate with --ca-cert, or install this host's \
                 ca-certificates package",
                innermost(&error)
            )
        })?;
        Ok(Self { client, project, proxy, shown: base.to_string() })
    }

    /// `GET` of a path under the project.
    ///
    /// # Errors
    /// When it does not succeed, as one sentence.
    pub(crate) async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value> {
        let mut url = under(&self.project, path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let sent = self.client.request(Method::GET, url).send().await;
        self.answer(sent.map_err(|error| self.unreachable(&error))?).await
    }

    /// A whole short list.
    ///
    /// # Errors
    /// When it does not succeed, as one sentence.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<Value>> {
        self.items(self.get(&[path], &[]).await?)
    }

    /// A whole list that may have several pages.
    ///
    /// # Errors
    /// When it does not succeed, as one sentence.
    pub(crate) async fn pages(&self, path: &str) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut cursor = None::<String>;
        loop {
            let query: Vec<(&str, &str)> = cursor.iter().map(|cursor| ("cursor", cursor.as_str())).collect();
            let answer = self.get(&[path], &query).await?;
            cursor = answer["next_cursor"].as_str().map(str::to_owned);
            all.extend(self.items(answer)?);
            if cursor.is_none() {
                return Ok(all);
            }
        }
    }

    /// The first `limit` tasks that match, and whether there may be more.
    ///
    /// # Errors
    /// When it does not succeed, as one sentence.
    pub(crate) async fn tasks(&self, filter: &[(&str, &str)], limit: usize) -> Result<(Vec<Value>, bool)> {
        let mut tasks = Vec::new();
        let mut cursor = None::<String>;
        loop {
            let page = (limit - tasks.len()).min(PAGE).to_string();
            let mut query = [filter, &[("limit", page.as_str())]].concat();
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let answer = self.get(&["tasks"], &query).await?;
            cursor = answer["next_cursor"].as_str().map(str::to_owned);
            // A page may be short, even empty, and still not be the last.
            tasks.extend(self.items(answer)?);
            if cursor.is_none() || tasks.len() >= limit {
                return Ok((tasks, cursor.is_some()));
            }
        }
    }

    /// `POST` to a path under the project.
    pub(super) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client.request(Method::POST, under(&self.project, &[path])).json(body)
    }

    /// What a response says, if it is a success.
    pub(super) async fn answer(&self, response: Response) -> Result<Value> {
        let status = response.status();
        if status.is_redirection() {
            let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("another address");
            bail!("{} sends callers on to {to}: give the brain's own address with --url", self.shown);
        }
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        if status == StatusCode::BAD_REQUEST && body.starts_with(b"this port speaks TLS") {
            bail!("the brain at {} speaks TLS: begin --url with https://", self.shown);
        }
        let body = serde_json::from_slice::<Value>(&body);
        if !status.is_success() {
            return Err(refusal::explained(status, &body.unwrap_or_default(), &self.shown));
        }
        body.map_err(|_| self.no_brain())
    }

    /// Why a call got no answer.
    pub(super) fn unreachable(&self, error: &reqwest::Error) -> anyhow::Error {
        if error.is_timeout() && !error.is_connect() {
            return anyhow!("the brain at {} did not answer in time: look at its log, or try again", self.shown);
        }
        if let Some(explained) = tls::explained(error) {
            return anyhow!("the brain at {} cannot be reached: {explained}", self.shown);
        }
        if let Some(variable) = self.proxy {
            return anyhow!(
                "the brain at {} cannot be reached ({}): see that it is up and, as {variable} is set, that its proxy is, or \
                 name the brain's host in NO_PROXY",
                self.shown,
                innermost(error)
            );
        }
        anyhow!(
            "the brain at {} cannot be reached ({}): start it with `taskplane brain`, or give its address with --url \
             or TASKPLANE_URL",
            self.shown,
            innermost(error)
        )
    }

    fn items(&self, mut page: Value) -> Result<Vec<Value>> {
        match page.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => Ok(items),
            _ => Err(self.no_brain()),
        }
    }

    fn no_brain(&self) -> anyhow::Error {
        anyhow!("what answers at {} is no Taskplane brain: give the brain's address with --url", self.shown)
    }
}

/// The variable that sets a proxy for `scheme`, in the order in which the HTTP client looks at them.
fn proxy_variable(scheme: &str) -> Option<&'static str> {
    let own = if scheme == "https" { ["HTTPS_PROXY", "https_proxy"] } else { ["HTTP_PROXY", "http_proxy"] };
    let all = own.into_iter().chain(["ALL_PROXY", "all_proxy"]);
    all.into_iter().find(|variable| std::env::var_os(variable).is_some_and(|value| !value.is_empty()))
}

fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// `path` under `base`, whatever characters are in it.
fn under(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

fn address(text: &str) -> Result<Url> {
    let wrong = |why: &str| anyhow!(WrongUsage(format!("--url {why}, such as http://127.0.0.1:7440")));
    let url = Url::parse(text).map_err(|error| wrong(&format!("is no address ({error}): give one")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(&format!("begins with {}: and must begin with https:// or http://", url.scheme())));
    }
    // Not repeated in the sentence: it may hold a password.
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("holds more than host, port and path: the key goes into --api-key"));
    }
    Ok(url)
}

fn credentials(key: Option<&str>) -> Result<HeaderValue> {
    let key = key.map(str::trim).filter(|key| !key.is_empty()).ok_or_else(|| {
        WrongUsage(
            "an API key is needed: make one on the brain's host with `taskplane api-key create --role operator`, and give \
             it with TASKPLANE_API_KEY or --api-key"
                .to_owned(),
        )
    })?;
    let mut value = HeaderValue::from_str(&format!("Bearer {key}"))
        .map_err(|_| WrongUsage("the API key holds characters that no key has: copy it again".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_a_brain() {
        for good in ["http://127.0.0.1:7440", "https://brain:7440/", "https://proxy/taskplane/"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for (bad, says) in [
            ("127.0.0.1:7440", "http://"),
            ("ws://127.0.0.1:7440", "http://"),
            ("http://me:hunter2@brain", "--api-key"),
            ("", "http://"),
        ] {
            let error = address(bad).expect_err(bad);
            assert!(error.is::<WrongUsage>() && error.to_string().contains(says), "{bad}: {error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn ids_cannot_leave_their_place_in_the_path() {
        let base = address("http://proxy/taskplane/").expect("an address");
        let url = under(&base, &["tasks", "celery", "a/b?c#d e"]);
        assert_eq!(url.as_str(), "http://proxy/taskplane/tasks/celery/a%2Fb%3Fc%23d%20e");
    }

    #[test]
    fn a_key_is_needed_and_is_not_repeated() {
        for key in [None, Some(""), Some(" ")] {
            assert!(credentials(key).expect_err("refused").to_string().contains("api-key create"));
        }
        let error = credentials(Some("tpk_se\ncret")).expect_err("refused");
        assert!(error.is::<WrongUsage>() && !error.to_string().contains("cret"), "{error}");
        assert!(credentials(Some("tpk_secret\n")).expect("a key").is_sensitive());
    }
}
