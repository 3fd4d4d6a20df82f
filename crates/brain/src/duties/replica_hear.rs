//! Does what other brains on the database tell.

use taskplane_store::replicas::{Bus, BusEvent};

use crate::brain::Brain;
use crate::replicas::Message;

pub(super) async fn run(brain: Brain, mut bus: Box<dyn Bus>) {
    loop {
        let event = tokio::select! {
            () = brain.stop.cancelled() => return,
            event = bus.hear() => event,
        };
        match event {
            Some(BusEvent::Told { from, text }) => match serde_json::from_str(&text) {
                Ok(message) => hear(&brain, from, message),
                Err(error) => tracing::debug!(%error, from, "what another brain told was not understood"),
            },
            // What is in tables is read again, and what readers of the live stream have missed they fetch.
            Some(BusEvent::Missed) => {
                brain.replicas.doubt();
                brain.live.resync(None);
            }
            None => return,
        }
    }
}

fn hear(brain: &Brain, from: u32, message: Message) {
    match message {
        Message::Connections(told) => {
            let (before, after) = (told.before, told.after);
            let changes = told.into_changes();
            let openings: Vec<_> = changes.opened.iter().map(|one| (one.stream, one.opening)).collect();
            if !brain.replicas.apply(from, before, after, changes) {
                brain.replicas.look_again();
            }
            openings.into_iter().for_each(|(stream, opening)| brain.connections.supersede(stream, opening));
        }
        Message::Reads { projects } => {
            let new = brain.replicas.reads(from, &projects);
            brain.live.set_elsewhere(brain.replicas.all_reads());
            // What changed before we knew was not told.
            for project in new {
                brain.replicas.tell(Some(from), Message::Resync { project: Some(project) });
            }
        }
        Message::Live { changes } => changes.into_iter().for_each(|change| brain.live.absorb(change)),
        Message::Resync { project } => brain.live.resync(project),
        Message::Command(command) => {
            let commands = brain.commands.clone();
            brain.tasks.spawn(async move { commands.take_over(from, command).await });
        }
        Message::CommandEnded { id } => brain.commands.ended_elsewhere(&id),
        Message::TokenRevoked { id } => brain.connections.revoke_token(&id),
    }
}
