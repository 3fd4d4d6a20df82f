//! What agents call their sessions: which brain made it, and what nobody can guess.

use uuid::Uuid;

/// A new name for a session of the brain whose run has this number, or of one that has its database alone.
pub(super) fn generate(run: Option<u32>) -> String {
    let secret = Uuid::new_v4().simple();
    run.map_or_else(|| secret.to_string(), |run| format!("{run:x}-{secret}"))
}

/// The run of the brain that made it; `None` when it names none.
pub(super) fn run(id: &str) -> Option<u32> {
    let (run, secret) = id.split_once('-')?;
    let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    let has_form = run.len() <= 8 && secret.len() == 32 && is_hex(run) && is_hex(secret);
    has_form.then(|| u32::from_str_radix(run, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_brain_and_nothing_else() {
        for number in [1, 255, u32::MAX] {
            let id = generate(Some(number));
            assert_eq!(run(&id), Some(number));
            assert_ne!(id, generate(Some(number)));
        }
        assert_eq!(run(&generate(None)), None);
        let secret = "0".repeat(32);
        for other in
            ["", "-", "1", "1-", "1-2", &format!("-{secret}"), &format!("+1-{secret}"), &format!("1-{secret}0")]
        {
            assert_eq!(run(other), None, "{other}");
        }
        assert_eq!(run(&format!("100000000-{secret}")), None);
        assert_eq!(run(&format!("ü-{secret}")), None);
    }
}
