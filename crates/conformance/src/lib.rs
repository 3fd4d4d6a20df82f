//! Plays an agent against any brain and reports, rule by rule, how it keeps wire protocol v1.
