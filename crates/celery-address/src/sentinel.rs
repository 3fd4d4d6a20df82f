//! Sentinels: which server is the master now.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use redis::{RedisConnectionInfo, RedisResult};
use tokio::time::timeout;

use crate::{
    AddressError, Url, explain,
    redis::{client, connect, settings, unusable},
    tls::{Tls, is_yes},
};

const DEFAULT_PORT: u16 = 26_379;
/// How long one sentinel may take. The others are asked at the same time.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// The sentinels of a URL, and the name that they know the master by.
#[derive(Clone)]
pub(crate) struct Sentinels {
    hosts: Vec<(String, u16)>,
    master: String,
    settings: RedisConnectionInfo,
    tls: Option<Tls>,
}

/// What one sentinel said.
enum Said {
    Master(String, u16),
    Unknown,
    Failed(String),
}

impl Sentinels {
    /// Those of a list of URLs. `all` has the options of all of them, in the names of kombu's transport options, and what is
    /// in `sentinel_kwargs` there with `sentinel_` before it.
    pub(crate) fn of(urls: &[Url], all: &Url, tls: Option<&Tls>) -> Result<Self, AddressError> {
        let name = all.option("master_name").or_else(|| all.option("service_name")).filter(|name| !name.is_empty());
        let Some(master) = name else {
            return Err(AddressError::Url(
                "a sentinel:// URL needs the name of the master: put ?master_name=NAME at its end, as in the application's \
                 broker_transport_options"
                    .to_owned(),
            ));
        };
        let is_secure = all.option("sentinel_ssl").is_some_and(is_yes);
        if is_secure && tls.is_none() {
            return Err(AddressError::Url(
                "sentinel_ssl=true goes with ssl=true or one of the ssl_ options".to_owned(),
            ));
        }
        Ok(Self {
            hosts: urls.iter().map(|url| (url.host.clone(), url.port.unwrap_or(DEFAULT_PORT))).collect(),
            master: master.to_owned(),
            settings: settings(0, all.option("sentinel_username"), all.option("sentinel_password")),
            tls: tls.filter(|_| is_secure).cloned(),
        })
    }

    /// The master, and the first of those that know it.
    pub(crate) fn shown(&self) -> String {
        let first = self.hosts.first().map(|(host, port)| format!("{host}:{port}")).unwrap_or_default();
        format!("the master {} of Sentinel {first}", self.master)
    }

    /// Where the master is, as the first sentinel says that knows it.
    pub(crate) async fn master(&self) -> Result<(String, u16), String> {
        let mut asked: FuturesUnordered<_> = self.hosts.iter().map(|(host, port)| self.ask(host, *port)).collect();
        let (mut unknown, mut failed) = (false, BTreeSet::new());
        while let Some(said) = asked.next().await {
            match said {
                Said::Master(host, port) => return Ok((host, port)),
                Said::Unknown => unknown = true,
                Said::Failed(why) => {
                    failed.insert(why);
                }
            }
        }
        if unknown {
            return Err(format!(
                "cannot be found: Sentinel knows no master named {:?}. Correct master_name in the URL",
                self.master
            ));
        }
        let failed: Vec<String> = failed.into_iter().collect();
        Err(format!("cannot be found: {}", failed.join("; ")))
    }

    async fn ask(&self, host: &str, port: u16) -> Said {
        let asked = async {
            let client =
                client(host, port, self.settings.clone(), self.tls.as_ref()).map_err(|error| unusable(&error))?;
            let answer: RedisResult<Option<(String, u16)>> = async {
                let mut connection = connect(&client, Some(ANSWER_WITHIN)).await?;
                let mut question = redis::cmd("SENTINEL");
                question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.master).query_async(&mut connection).await
            }
            .await;
            answer.map_err(|error| for_sentinel(explain(&error)))
        };
        let answer = timeout(ANSWER_WITHIN, asked).await.unwrap_or_else(|_| Err("did not answer in time".to_owned()));
        match answer {
            Ok(Some((host, port))) => Said::Master(host, port),
            Ok(None) => Said::Unknown,
            Err(why) => Said::Failed(format!("Sentinel at {host}:{port} {why}")),
        }
    }
}

/// Its password is not that of the server.
fn for_sentinel(why: String) -> String {
    match why.as_str() {
        "asks for a password: put it into the URL" => {
            "asks for a password of its own: put it into the URL as sentinel_password".to_owned()
        }
        "does not accept the user or password in the URL" => {
            "does not accept the sentinel_password in the URL".to_owned()
        }
        "answered with the error ERR" => "is no Sentinel: its port is usually 26379".to_owned(),
        _ => why,
    }
}
