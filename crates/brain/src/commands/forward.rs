//! Commands for agents that are connected to another brain.
//!
//! The brain that a command was given to records it, and hands it on over the bus. Whoever sends a command to an agent changes its
//! row from pending first, and whoever gives it up ends its row only while it is pending: so of the two one succeeds, and the
//! command is sent once or never, whatever becomes of the message. From then on the row belongs to the brain that has sent
//! it, which ends it; when that one dies, whoever leads does.

use std::time::Duration;

use taskplane_model::command::{Command, CommandOutcome};
use taskplane_store::replicas::Vantage;

use super::router::{CommandRequest, CommandRouter, OpenCommand, SubmitError, Way};
use crate::clock;
use crate::gateway::Target;
use crate::replicas::{ForwardedCommand, Message};

/// How long another brain has to take a command. It takes milliseconds.
const TAKEN_WITHIN: Duration = Duration::from_secs(3);
/// How long a database that cannot be written is left alone.
const TRY_AGAIN: Duration = Duration::from_secs(1);

impl CommandRouter {
    /// Hands a command on to the brain that has its agent.
    pub(super) async fn forward(
        &self,
        request: CommandRequest,
        command: Command,
        target: Target,
        replica: u32,
    ) -> Result<Command, SubmitError> {
        self.opened(&command.id, OpenCommand::new(&request, Way::Replica(replica), TAKEN_WITHIN, None));
        let message = Message::Command(ForwardedCommand {
            project: request.project,
            id: command.id.clone(),
            connection: target.connection,
            agent: target.agent_name,
            cmd: request.cmd,
            args: request.args,
        });
        if let Err(error) = self.replicas.tell_now(Some(replica), &message).await {
            tracing::warn!(%error, id = command.id, "a command could not be handed on to the brain that has its agent");
            if self.claim(&command.id).is_some() {
                let ended = self.withdraw(request.project, &command.id).await;
                return Ok(ended.unwrap_or(command));
            }
        }
        Ok(command)
    }

    /// Ends a command that another brain has not taken; one that it has taken is that one's. Returns it as it now stands.
    pub(super) async fn withdraw(&self, project: u64, id: &str) -> Option<Command> {
        let store = self.replicas.store()?;
        let message =
            "the brain that the agent is connected to did not take the command; nothing was sent: give it again";
        let outcome = CommandOutcome::failed("agent_not_connected", message);
        match store.end_unsent(project, id, outcome, clock::now()).await {
            Ok(command) => {
                command.iter().filter(|command| command.status.is_final()).for_each(|ended| self.tell(project, ended));
                self.forget(id);
                command
            }
            Err(error) => {
                tracing::warn!(%error, id, "a command that was not taken is ended when the store can be written again");
                self.unclaim(id, TRY_AGAIN);
                None
            }
        }
    }

    /// Takes a command that was given to the brain `origin`, and sends it to its agent.
    pub(crate) async fn take_over(&self, origin: u32, forwarded: ForwardedCommand) {
        let ForwardedCommand { project, id, connection, agent, cmd, args } = forwarded;
        // Left alone, it is withdrawn by the one who has it.
        let command = match self.store.command(project, &id).await {
            Ok(Some(command)) if !self.is_busy() => command,
            Ok(_) => return tracing::warn!(id, "a command that another brain handed on was not taken"),
            Err(error) => return tracing::warn!(%error, id, "a command that another brain handed on was not taken"),
        };
        match self.store.command_sent(project, &id, &agent).await {
            Ok(true) => {}
            Ok(false) => return tracing::debug!(id, "a command was withdrawn before it could be sent"),
            Err(error) => return self.not_sent(project, &id, &error),
        }
        let target = self.connections.targets(project, |target| target.connection == connection).pop();
        let target = target.unwrap_or(Target {
            replica: None,
            connection,
            opening: 0,
            agent: 0,
            agent_name: agent,
            engines: Vec::new(),
            vantage: Vantage::default(),
        });
        let created_by = command.created_by.clone();
        let request = CommandRequest { project, cmd, args, agent: None, idempotency_key: None, created_by };
        if let Err(error) = self.deliver(request, command, target, Some(origin)).await {
            tracing::warn!(%error, id, "a command that another brain handed on was not sent");
        }
    }

    /// A command that was handed on has ended.
    pub(crate) fn ended_elsewhere(&self, id: &str) {
        self.forget(id);
    }
}
