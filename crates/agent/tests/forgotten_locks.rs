//! What a forked child calls first. Alone in its program, since it concerns all locks of a process.

#![cfg(unix)]

use taskplane_agent::capture::Collector;
use taskplane_agent::forget_inherited_locks;

#[test]
fn a_process_that_forgets_what_it_inherited_keeps_nobody_from_leading() {
    let dir = tempfile::tempdir().expect("dir");
    let inherited = Collector::try_lead(dir.path()).expect("a folder").expect("leads");
    forget_inherited_locks();
    let own = Collector::try_lead(dir.path()).expect("a folder").expect("nobody has it");
    drop(inherited);
    assert!(
        Collector::try_lead(dir.path()).expect("a folder").is_none(),
        "the inherited one gives up nothing of its own"
    );
    drop(own);
}
