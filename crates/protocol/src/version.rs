//! The version that `hello` carries: `v<major>` or `v<major>.<minor>`.

/// What we write.
pub const CURRENT: &str = "v1";
/// The major version we speak.
pub const MAJOR: u32 = 1;

/// The major version in a `hello`, or `None` when the text is not a version.
pub fn major(protocol: &str) -> Option<u32> {
    let digits = protocol.strip_prefix('v')?;
    let (major, minor) = digits.split_once('.').map_or((digits, None), |(major, minor)| (major, Some(minor)));
    let number =
        |text: &str| -> Option<u32> { text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten() };
    if let Some(minor) = minor {
        number(minor)?;
    }
    number(major)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_majors_agree_whatever_the_minor() {
        assert_eq!(major(CURRENT), Some(MAJOR));
        assert_eq!(major("v1.7"), Some(1));
        assert_eq!(major("v2"), Some(2));
        for text in ["", "1", "v", "v1.", "v1.x", "v-1", "v1.2.3", "version 1"] {
            assert_eq!(major(text), None, "{text}");
        }
    }
}
