//! Realistic Celery events: four a task (sent, received, started, succeeded), about 350 bytes each, distinct random ids.
//!
//! A frame is built once; for each batch only task ids and times are written into it, so that the generator costs little of
//! the machine it shares with what it measures. The events of a task lie a few places apart, and some in the next batch.

use std::time::{SystemTime, UNIX_EPOCH};

use taskplane_model::Timestamp;

/// How many tasks after its sending an event of a task comes: received, started, succeeded.
const LAGS: [usize; 4] = [0, 1, 2, 5];
/// Task ids remembered for the events that are still to come; more than the largest lag.
const RING: usize = 8;
const ID_BYTES: usize = 36;
const TS_BYTES: usize = 27;

/// Makes the batches of one agent.
pub(crate) struct Workload {
    frame: Vec<u8>,
    seq_at: usize,
    /// For each event: where its ids and its time stand, and whose they are (tasks ago).
    slots: Vec<Slot>,
    ring: [[u8; ID_BYTES]; RING],
    sent: usize,
    random: u64,
}

struct Slot {
    ids: Vec<usize>,
    ts: usize,
    lag: usize,
}

const SEQ_DIGITS: usize = 12;

impl Workload {
    /// Batches of `events` events for agent number `agent`.
    pub(crate) fn new(agent: usize, events: usize) -> Self {
        let mut seed = [0u8; 8];
        // A fixed seed would do but for task ids that clash between runs on one folder.
        let _ = getrandom::fill(&mut seed);
        let mut text = String::from(r#"{"type":"event_batch","seq":"#);
        let seq_at = text.len();
        text.push_str(&" ".repeat(SEQ_DIGITS));
        text.push_str(r#","events":["#);
        let mut slots = Vec::with_capacity(events);
        for index in 0..events {
            if index > 0 {
                text.push(',');
            }
            slots.push(push_event(&mut text, agent, index));
        }
        text.push_str("]}");
        let mut workload = Self {
            frame: text.into_bytes(),
            seq_at,
            slots,
            ring: [[b'0'; ID_BYTES]; RING],
            sent: 0,
            random: u64::from_le_bytes(seed) | 1,
        };
        for slot in 0..RING {
            workload.ring[slot] = workload.new_id();
        }
        workload
    }

    /// How many batches after that of its first event the last event of a task comes at the latest.
    pub(crate) fn batches_of_a_task(&self) -> u64 {
        RING.div_ceil(self.slots.len() / 4) as u64
    }

    /// The text of batch `seq`, and an id of a task whose first event is in it.
    pub(crate) fn batch(&mut self, seq: u64) -> (String, String) {
        let mut sample = [b'0'; ID_BYTES];
        let digits = format!("{seq:>SEQ_DIGITS$}");
        self.frame[self.seq_at..self.seq_at + SEQ_DIGITS].copy_from_slice(digits.as_bytes());
        let mut micros = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as i64;
        for index in 0..self.slots.len() {
            if index % 4 == 0 {
                self.sent += 1;
                self.ring[self.sent % RING] = self.new_id();
                if index == self.slots.len() / 8 * 4 {
                    sample = self.ring[self.sent % RING];
                }
            }
            micros += 1;
            let ts = Timestamp(micros).to_string();
            let slot = &self.slots[index];
            let id = self.ring[(self.sent + RING - slot.lag) % RING];
            for at in &slot.ids {
                self.frame[*at..*at + ID_BYTES].copy_from_slice(&id);
            }
            self.frame[slot.ts..slot.ts + TS_BYTES].copy_from_slice(ts.as_bytes());
        }
        (String::from_utf8_lossy(&self.frame).into_owned(), String::from_utf8_lossy(&sample).into_owned())
    }

    /// A random UUID, version 4, as text.
    fn new_id(&mut self) -> [u8; ID_BYTES] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut id = [b'-'; ID_BYTES];
        let mut bits = 0u64;
        for (place, byte) in id.iter_mut().enumerate() {
            if matches!(place, 8 | 13 | 18 | 23) {
                continue;
            }
            if bits < 16 {
                bits = self.next_random() | 1 << 63;
            }
            *byte = HEX[(bits & 15) as usize];
            bits >>= 4;
        }
        id[14] = b'4';
        id[19] = b'a';
        id
    }

    /// xorshift64*, enough for ids that must only differ.
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

fn push_event(text: &mut String, agent: usize, index: usize) -> Slot {
    const NAMES: [&str; 8] = [
        "orders.place",
        "billing.charge",
        "emails.send_receipt",
        "inventory.reserve",
        "reports.region",
        "search.index_document",
        "images.resize",
        "webhooks.deliver",
    ];
    const QUEUES: [&str; 4] = ["default", "emails", "payments", "reports"];
    let (task, kind) = (index / 4, index % 4);
    let lag = LAGS[kind];
    let of_task = task.wrapping_sub(lag);
    let name = NAMES[of_task % NAMES.len()];
    let queue = QUEUES[of_task % QUEUES.len()];
    let worker = format!("celery@worker-{agent:02}-{}", of_task % 3);
    let blank_id = "0".repeat(ID_BYTES);
    let mut ids = Vec::with_capacity(2);
    let mut put_id = |text: &mut String, before: &str| {
        text.push_str(before);
        ids.push(text.len());
        text.push_str(&blank_id);
    };
    let event_type = ["task_sent", "task_received", "task_started", "task_succeeded"][kind];
    text.push_str(&format!(r#"{{"event_type":"{event_type}","ts":""#));
    let ts = text.len();
    text.push_str(&"0".repeat(TS_BYTES));
    put_id(text, r#"","engine":"celery","task_id":""#);
    let order = 10_000 + (of_task.wrapping_mul(7_919)) % 90_000;
    match kind {
        0 => {
            text.push_str(&format!(
                r#"","name":"{name}","args_redacted":[{order},"<email>"],"kwargs_redacted":{{"currency":"EUR","amount":{}.{:02},"note":"<str len=48>"}},"queue":"{queue}","routing_key":"{queue}","exchange":"","hostname":"web-{agent:02}","pid":{},"retries":0,"priority":0,"#,
                order % 500, order % 100, 4_000 + agent,
            ));
            put_id(text, r#""root_id":""#);
            text.push_str(r#""}"#);
        }
        1 => {
            text.push_str(&format!(
                r#"","name":"{name}","args_redacted":[{order},"<email>"],"kwargs_redacted":{{"currency":"EUR","amount":{}.{:02},"note":"<str len=48>"}},"worker":"{worker}","hostname":"worker-{agent:02}","pid":{},"retries":0,"#,
                order % 500, order % 100, 7_000 + agent,
            ));
            put_id(text, r#""root_id":""#);
            text.push_str(r#""}"#);
        }
        2 => text.push_str(&format!(
            r#"","name":"{name}","worker":"{worker}","hostname":"worker-{agent:02}","pid":{},"retries":0}}"#,
            7_000 + agent
        )),
        _ => text.push_str(&format!(
            r#"","name":"{name}","worker":"{worker}","hostname":"worker-{agent:02}","pid":{},"retries":0,"runtime_ms":{}.{:03},"result_redacted":{{"order":{order},"status":"ok"}}}}"#,
            7_000 + agent, 1 + order % 900, order % 1_000
        )),
    }
    Slot { ids, ts, lag }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn batches_are_valid_and_every_task_gets_its_four_events() {
        let mut workload = Workload::new(1, 500);
        let mut events: HashMap<String, Vec<String>> = HashMap::new();
        let mut sample = String::new();
        for seq in 1..=4 {
            let (text, id) = workload.batch(seq);
            if seq == 2 {
                sample = id;
            }
            let frame: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(frame["seq"], seq);
            for event in frame["events"].as_array().expect("events") {
                let id = event["task_id"].as_str().expect("id").to_owned();
                events.entry(id).or_default().push(event["event_type"].as_str().expect("type").to_owned());
            }
        }
        assert_eq!(events[&sample], ["task_sent", "task_received", "task_started", "task_succeeded"]);
        let whole = events.values().filter(|kinds| kinds.len() == 4).count();
        assert!(whole >= 490, "{whole} of 500 tasks are whole");
    }
}
