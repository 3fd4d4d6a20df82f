//! Many agents and a brain in virtual time, with everything going wrong that can.
