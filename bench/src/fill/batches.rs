//! The batches of one agent: what happened to its tasks, told as it would be told on the wire, read and folded as the brain does.

use std::collections::HashMap;
use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use taskplane_brain::ingest::{BatchOrigin, fold};
use taskplane_model::{TaskState, Timestamp};
use taskplane_protocol::frame::AgentFrame;
use taskplane_store::ingest::{BatchToStore, OpenedStream};

use super::life::{Event, Lives, Task, What};
use super::manifest::{Known, Manifest, Sample};
use super::plan::Span;
use super::vocabulary::{QUEUES, RARE_PHRASE, RARE_WORKER, Vocabulary};

/// Events of a batch.
pub(crate) const EVENTS: usize = 500;
/// One failure in so many has a message that no other has.
const UNIQUE_ONE_IN: u64 = 500;
/// One task in so many is remembered in the manifest, and as many workflows.
const SAMPLE_ONE_IN: u64 = 5_000;
const WORKFLOWS: usize = 40;
/// From the last event of a batch to its receipt.
const DELAY_US: i64 = 100_000;

/// Makes the batches of one agent.
pub(crate) struct Batches<'a> {
    vocabulary: &'a Vocabulary,
    lives: Lives<'a>,
    origin: BatchOrigin,
    seq: u64,
    /// Tracebacks as JSON text.
    tracebacks: &'a [String],
    agent: u64,
    text: String,
    /// Where each task that has begun and not ended stands.
    open: HashMap<u64, TaskState>,
    told: Manifest,
}

impl<'a> Batches<'a> {
    pub(crate) fn new(
        vocabulary: &'a Vocabulary,
        tracebacks: &'a [String],
        span: Span,
        project: u64,
        stream: OpenedStream,
    ) -> Self {
        let known = |name: &str| Known { name: name.to_owned(), ..Known::default() };
        let workers = vocabulary.workers.iter().map(String::as_str).chain([RARE_WORKER]);
        let told = Manifest {
            names: vocabulary.names.iter().map(|name| known(name)).collect(),
            queues: QUEUES.map(known).into(),
            workers: workers.map(known).collect(),
            ..Manifest::default()
        };
        let engine: Arc<str> = "celery".into();
        Self {
            vocabulary,
            lives: Lives::new(vocabulary, span),
            origin: BatchOrigin { project, agent: stream.agent, stream: stream.stream, only_engine: Some(engine) },
            seq: stream.last_seq,
            tracebacks,
            agent: span.agent,
            text: String::new(),
            open: HashMap::new(),
            told,
        }
    }

    /// The next batch; `None` when there is nothing more to tell.
    pub(crate) fn next(&mut self) -> Result<Option<BatchToStore>> {
        self.seq += 1;
        self.text.clear();
        write!(self.text, r#"{{"type":"event_batch","seq":{},"events":["#, self.seq)?;
        let mut last = 0;
        let mut events = 0;
        while events < EVENTS
            && let Some(event) = self.lives.next()
        {
            if events > 0 {
                self.text.push(',');
            }
            last = event.at;
            self.count(&event);
            self.tell(&event)?;
            events += 1;
        }
        if events == 0 {
            return Ok(None);
        }
        self.told.events += events as u64;
        self.text.push_str("]}");
        let AgentFrame::EventBatch(batch) = AgentFrame::parse(&self.text).context("a batch does not parse")? else {
            bail!("a batch is not a batch");
        };
        let folded = fold(&batch, &self.origin, Timestamp(last + DELAY_US));
        anyhow::ensure!(folded.batch.quarantined.is_empty(), "{:?}", folded.batch.quarantined.first());
        Ok(Some(folded.batch))
    }

    /// What has been told.
    pub(crate) fn into_told(mut self) -> Manifest {
        for state in self.open.into_values() {
            *self.told.states.entry(state.name().to_owned()).or_default() += 1;
        }
        // The large ones first, then some of the others.
        let workflows = &mut self.lives.workflows;
        workflows.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        workflows.truncate(WORKFLOWS);
        self.told.workflows = std::mem::take(workflows);
        self.told
    }

    fn count(&mut self, event: &Event) {
        let task = &event.task;
        let (state, ends) = match event.what {
            What::Sent => (TaskState::Pending, false),
            What::Received { .. } => (TaskState::Received, false),
            What::Started { .. } => (TaskState::Started, false),
            What::Retry => (TaskState::Retrying, false),
            What::Succeeded { .. } => (TaskState::Succeeded, true),
            What::Failed { .. } => (TaskState::Failed, true),
            What::Revoked => (TaskState::Revoked, true),
            What::Rejected => (TaskState::Rejected, true),
        };
        let failed = u64::from(state == TaskState::Failed);
        match event.what {
            What::Sent => {
                self.told.names[task.name].tasks += 1;
                self.told.queues[task.queue].tasks += 1;
                if task.number.is_multiple_of(SAMPLE_ONE_IN) {
                    self.told.samples.push(Sample { task_id: task.id.clone(), order: order_number(task.number) });
                }
            }
            What::Received { attempt: 0 } => self.told.workers[task.worker].tasks += 1,
            _ => {}
        }
        self.told.names[task.name].failed += failed;
        self.told.queues[task.queue].failed += failed;
        self.told.workers[task.worker].failed += failed;
        if failed > 0 && task.marked {
            self.told.marked.push(task.id.clone());
        }
        if ends {
            self.open.remove(&task.number);
            *self.told.states.entry(state.name().to_owned()).or_default() += 1;
        } else {
            self.open.insert(task.number, state);
        }
    }

    fn tell(&mut self, event: &Event) -> Result<()> {
        let Event { at, what, task } = event;
        let event_type = match what {
            What::Sent => "task_sent",
            What::Received { .. } => "task_received",
            What::Started { .. } => "task_started",
            What::Retry => "task_retry",
            What::Succeeded { .. } => "task_succeeded",
            What::Failed { .. } => "task_failed",
            What::Revoked => "task_revoked",
            What::Rejected => "task_rejected",
        };
        let (agent, name, id) = (self.agent, &self.vocabulary.names[task.name], &task.id);
        let worker = self.vocabulary.workers.get(task.worker).map_or(RARE_WORKER, String::as_str);
        let text = &mut self.text;
        let ts = Timestamp(*at);
        write!(
            text,
            r#"{{"event_type":"{event_type}","ts":"{ts}","engine":"celery","task_id":"{id}","name":"{name}","hostname":"host-{agent:02}","pid":{}"#,
            4_000 + agent
        )?;
        match *what {
            What::Sent => {
                arguments(text, task)?;
                let queue = QUEUES[task.queue];
                write!(text, r#","queue":"{queue}","routing_key":"{queue}","exchange":"","retries":0,"priority":0"#)?;
                links(text, task)?;
            }
            What::Received { attempt } => {
                arguments(text, task)?;
                write!(text, r#","worker":"{worker}","retries":{attempt}"#)?;
                links(text, task)?;
            }
            What::Started { attempt } => write!(text, r#","worker":"{worker}","retries":{attempt}"#)?,
            What::Succeeded { attempt, runtime_us } => {
                let (order, runtime) = (order_number(task.number), runtime_us as f64 / 1e3);
                write!(text, r#","worker":"{worker}","retries":{attempt},"runtime_ms":{runtime}"#)?;
                write!(text, r#","result_redacted":{{"order":"{order}","status":"ok"}}"#)?;
            }
            What::Retry => {
                write!(text, r#","worker":"{worker}","retries":0"#)?;
                self.failure(task)?;
            }
            What::Failed { runtime_us } => {
                write!(text, r#","worker":"{worker}","retries":0,"runtime_ms":{}"#, runtime_us as f64 / 1e3)?;
                self.failure(task)?;
            }
            What::Revoked => text.push_str(r#","terminated":false,"expired":true"#),
            What::Rejected => write!(text, r#","worker":"{worker}","requeue":false"#)?,
        }
        self.text.push('}');
        Ok(())
    }

    fn failure(&mut self, task: &Task) -> Result<()> {
        let failure = &self.vocabulary.failures[task.failure];
        let text = &mut self.text;
        write!(text, r#","exception":"{}","exception_message":""#, failure.exception)?;
        if task.marked {
            write!(text, "the {RARE_PHRASE} drifted by {} cents", task.number % 997)?;
        } else if task.number % UNIQUE_ONE_IN == 1 {
            let incident = task.number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            write!(text, "{}; see incident {incident:016x}", failure.message)?;
        } else {
            text.push_str(failure.message);
        }
        let traceback = self.tracebacks.get(task.failure).map_or("\"\"", String::as_str);
        write!(text, r#"","traceback":{traceback}"#)?;
        Ok(())
    }
}

/// An order number that only this task has.
fn order_number(number: u64) -> String {
    format!("ORD-{:09}", number * 7 + 3)
}

/// The number of the task that has this order number.
pub(super) fn number_of(order: &str) -> Option<u64> {
    Some(order.strip_prefix("ORD-")?.parse::<u64>().ok()?.checked_sub(3)? / 7)
}

fn arguments(text: &mut String, task: &Task) -> Result<()> {
    let number = task.number;
    let customer = number.wrapping_mul(2_654_435_761) % 400_000;
    write!(
        text,
        r#","args_redacted":["{}","customer-{customer}@example.com"],"kwargs_redacted":{{"currency":"{}","amount":{}.{:02},"trace":"{:032x}","note":"<str len=48>"}}"#,
        order_number(number),
        ["EUR", "USD", "GBP", "SEK"][(number % 4) as usize],
        customer % 500,
        number % 100,
        u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
    )?;
    Ok(())
}

fn links(text: &mut String, task: &Task) -> Result<()> {
    let root: &str = task.root.as_deref().unwrap_or(&task.id);
    write!(text, r#","root_id":"{root}""#)?;
    let links: [(&str, &Option<Rc<str>>); 3] =
        [("parent_id", &task.parent), ("group_id", &task.group), ("chord_id", &task.chord)];
    for (field, link) in links {
        if let Some(link) = link {
            write!(text, r#","{field}":"{link}""#)?;
        }
    }
    Ok(())
}
