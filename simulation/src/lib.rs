//! Many agents and a brain in virtual time, with everything going wrong that can.
//!
//! One seed is one world: [`run`] plays it from the first event to the moment when the faults have stopped and everything has
//! come to rest, and holds every promise against what really happened. The README says what is real in it and what is modelled.

mod agent;
mod brain;
mod chance;
mod connection;
mod core;
mod events;
mod execution;
mod failure;
mod faults;
mod home;
mod ingest;
mod link;
mod network;
mod plan;
mod router;
mod sabotage;
mod seeds;
mod store;
mod trace;
mod truth;
mod verify;
mod world;

pub use failure::{Failure, Violation};
pub use sabotage::Sabotage;
pub use seeds::{Summary, run, run_many, run_on, run_sabotaged};
pub use store::{Contents, MemoryStore, PROJECT, Store};
pub use trace::Keep;
pub use world::Outcome;
