//! Public ids, and roles as numbers.

use taskplane_model::Timestamp;
use taskplane_model::access::Role;

use super::corrupt;
use crate::Result;

/// A public id: UUIDv7, so that ids sort by age.
pub fn new_id(now: Timestamp) -> String {
    let micros = now.0.max(0).cast_unsigned();
    let ts = uuid::Timestamp::from_unix(uuid::NoContext, micros / 1_000_000, (micros % 1_000_000 * 1_000) as u32);
    uuid::Uuid::new_v7(ts).hyphenated().to_string()
}

/// The role with a stored number.
pub fn role(number: u8) -> Result<Role> {
    let role = [Role::Viewer, Role::Operator, Role::Admin].into_iter().find(|role| *role as u8 == number);
    role.ok_or_else(|| corrupt("a role has an unknown number"))
}
