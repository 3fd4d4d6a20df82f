//! Schedules of a real Django and of a real RedBeat, on real databases, with a real beat that reads them.

mod django;
mod harness;
mod redbeat;
mod servers;
mod site;
