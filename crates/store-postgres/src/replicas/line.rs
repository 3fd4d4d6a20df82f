//! A replica's own connection: it listens, and carries what must not wait behind batches. When it is lost it is opened again,
//! and whoever listens is told that something may have been missed.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use taskplane_store::replicas::{Bus, BusEvent};
use taskplane_store::{Result, StoreError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Connection, Error, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::parts::{Joined, Joiner};
use crate::address::Address;
use crate::connect::{OPEN_TIMEOUT, settings};
use crate::errors::from_postgres;
use crate::session::Values;

/// The server answers within so long, or the connection is opened anew.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// How long somebody who asks waits for a connection that is being opened.
const CONNECTED_WITHIN: Duration = Duration::from_secs(1);
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// What was heard and not taken yet; of more, only is told that something was missed.
const UNHEARD: usize = 4_096;
/// One channel per schema: notifications go through the whole database.
const CHANNEL: &str = "SELECT 'taskplane_' || current_schema()::regnamespace::oid";

/// The connection.
pub(super) struct Line {
    current: watch::Receiver<Option<Arc<Asker>>>,
    keeper: JoinHandle<()>,
}

/// Its end that asks.
struct Asker {
    client: Client,
    channel: String,
    prepared: Mutex<HashMap<&'static str, Statement>>,
    give_up: Notify,
}

impl Line {
    /// Opens the connection of the run `me`. It ends with the line; what it hears comes out at the other end.
    pub(super) fn open(address: Address, tls: MakeRustlsConnect, me: u32) -> (Self, impl Bus) {
        let (heard, events) = mpsc::channel(UNHEARD);
        let (publish, current) = watch::channel(None);
        let mut ear = Ear { heard, me, has_missed: false };
        let keeper = tokio::spawn(async move {
            loop {
                if let Err(error) = hold(&address, tls.clone(), &publish, &mut ear).await {
                    tracing::debug!(%error, "the replica's connection to PostgreSQL was lost");
                }
                publish.send_replace(None);
                tokio::time::sleep(RETRY_AFTER).await;
            }
        });
        (Self { current, keeper }, Events(events))
    }

    /// Asks for rows.
    pub(super) async fn ask(&self, sql: &'static str, values: Values<'_>) -> Result<Vec<Row>> {
        let asker = self.asker().await?;
        asker.ask(sql, values).await
    }

    /// The channel on which everybody listens.
    pub(super) async fn channel(&self) -> Result<String> {
        Ok(self.asker().await?.channel.clone())
    }

    async fn asker(&self) -> Result<Arc<Asker>> {
        let mut current = self.current.clone();
        let connected = tokio::time::timeout(CONNECTED_WITHIN, current.wait_for(Option::is_some)).await;
        let asker = connected.ok().and_then(|seen| seen.ok()?.clone());
        asker.ok_or_else(|| StoreError::Unavailable("the replica's connection to PostgreSQL is being opened".into()))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Asker {
    async fn ask(&self, sql: &'static str, values: Values<'_>) -> Result<Vec<Row>> {
        let asked = async {
            let known = self.prepared.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
            let statement = match known {
                Some(statement) => statement,
                None => {
                    let statement = self.client.prepare(sql).await?;
                    let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
                    prepared.entry(sql).or_insert(statement).clone()
                }
            };
            self.client.query(&statement, values).await
        };
        match tokio::time::timeout(ANSWER_WITHIN, asked).await {
            Ok(answered) => answered.map_err(|error| from_postgres(&error)),
            Err(_) => {
                self.give_up.notify_one();
                let seconds = ANSWER_WITHIN.as_secs();
                Err(StoreError::Unavailable(format!("PostgreSQL has not answered for {seconds} s")))
            }
        }
    }
}

/// Opens the connection, listens, and holds it until it is lost.
async fn hold(
    address: &Address,
    tls: MakeRustlsConnect,
    publish: &watch::Sender<Option<Arc<Asker>>>,
    ear: &mut Ear,
) -> Result<()> {
    let away = |_| StoreError::Unavailable("PostgreSQL does not answer".into());
    let opened = tokio::time::timeout(OPEN_TIMEOUT, address.config.connect(tls)).await.map_err(away)?;
    let (client, connection) = opened.map_err(|error| from_postgres(&error))?;
    let mut joiner = Joiner::new(ear.me);
    let beginning = ear.heard.clone();
    let begin = async {
        client.batch_execute(&settings()).await?;
        let channel: String = client.query_one(CHANNEL, &[]).await?.try_get(0)?;
        client.batch_execute(&format!("LISTEN {channel}")).await?;
        let asker = Asker { client, channel, prepared: Mutex::default(), give_up: Notify::new() };
        let asker = Arc::new(asker);
        // What was told before is in the tables.
        let _ = beginning.send(BusEvent::Missed).await;
        publish.send_replace(Some(Arc::clone(&asker)));
        asker.give_up.notified().await;
        Ok(())
    };
    let ended = tokio::select! {
        lost = ear.listen(connection, &mut joiner) => lost,
        given_up = begin => given_up,
    };
    ended.map_err(|error| from_postgres(&error))
}

/// What takes notifications in.
struct Ear {
    heard: mpsc::Sender<BusEvent>,
    me: u32,
    /// There was no room to hand something over.
    has_missed: bool,
}

impl Ear {
    /// Drives the connection until it is lost.
    async fn listen<S, T>(
        &mut self,
        mut connection: Connection<S, T>,
        joiner: &mut Joiner,
    ) -> std::result::Result<(), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        T: AsyncRead + AsyncWrite + Unpin,
    {
        while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(notification) = message? {
                match joiner.take(notification.payload()) {
                    Joined::Nothing => {}
                    Joined::Whole(from, text) => self.hand_over(BusEvent::Told { from, text }),
                    Joined::Broken => self.hand_over(BusEvent::Missed),
                }
            }
        }
        Ok(())
    }

    /// Never waits: the connection has to go on.
    fn hand_over(&mut self, event: BusEvent) {
        self.has_missed = self.has_missed && self.heard.try_send(BusEvent::Missed).is_err();
        self.has_missed = self.has_missed || self.heard.try_send(event).is_err();
    }
}

struct Events(mpsc::Receiver<BusEvent>);

#[async_trait]
impl Bus for Events {
    async fn hear(&mut self) -> Option<BusEvent> {
        self.0.recv().await
    }
}
