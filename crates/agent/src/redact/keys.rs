//! Which keys hide their whole value.

use super::marker::without_markers;

/// Hidden when the key, with its separators taken out, contains one of these: long enough not to occur by chance.
const ANYWHERE: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "apikey",
    "authorization",
    "authtoken",
    "accesskey",
    "accountkey",
    "privatekey",
    "signingkey",
    "encryptionkey",
    "masterkey",
    "sharedkey",
    "sshkey",
    "storagekey",
    "subscriptionkey",
    "cookie",
    "credential",
    "creditcard",
    "debitcard",
    "cardnumber",
    "cardno",
    "connectionstring",
    "sessionid",
    "sessionkey",
    "usersession",
    "sessid",
    "socialsecurity",
    "securitycode",
    "pincode",
];

/// Hidden when a word of the key ends with one of these (`usertoken`, `user_token`, `dbpwd`).
const WORD_ENDS: &[&str] = &["token", "tokens", "pwd", "cvv", "cvc", "passwort"];

/// Hidden when a word of the key is one of these: too short to be looked for inside words.
const WORDS: &[&str] = &[
    "pass", "pw", "pin", "pins", "ssn", "session", "sessions", "auth", "bearer", "jwt", "otp", "totp", "csrf", "xsrf",
];

/// Keys longer than this are not analysed: they hide their value.
const MAX_KEY_BYTES: usize = 256;

/// Knows secret keys in any case, with any separators, and as parts of compounds.
#[derive(Debug)]
pub(super) struct SecretKeys {
    /// Keys from configuration, without separators, in lower case.
    extra: Vec<String>,
}

impl SecretKeys {
    /// The built-in keys and `extra`, which are taken like the built-in long ones: in any case, also inside compounds.
    pub(super) fn new(extra: &[String]) -> Self {
        let extra = extra.iter().map(|key| squash(key)).filter(|key| !key.is_empty()).collect();
        Self { extra }
    }

    /// True when the value under `key` must be hidden.
    pub(super) fn is_secret(&self, key: &str) -> bool {
        let key = without_markers(key);
        if key.len() > MAX_KEY_BYTES {
            return true;
        }
        let squashed = squash(&key);
        let extra = self.extra.iter().map(String::as_str);
        if holds_any(&squashed, ANYWHERE.iter().copied().chain(extra)) {
            return true;
        }
        // The words stand in it one behind the other: what it does not hold, none of them is or ends with.
        holds_any(&squashed, WORDS.iter().chain(WORD_ENDS).copied()) && has_secret_word(&key, &squashed)
    }

    /// True when `before last` together name a secret that neither names alone, as in "API key".
    pub(super) fn is_secret_phrase(&self, before: &str, last: &str) -> bool {
        let (before, last) = (&without_markers(before), &without_markers(last));
        let (first, both) = (squash(before), squash(before) + &squash(last));
        let terms = ANYWHERE.iter().copied().chain(self.extra.iter().map(String::as_str));
        terms.into_iter().any(|term| both.contains(term) && !first.contains(term))
    }
}

fn has_secret_word(key: &str, squashed: &str) -> bool {
    words(key).any(|word| {
        // `password2` and `pin1` are what they were without the number.
        let word = word.trim_end_matches(|c: char| c.is_numeric());
        WORDS.contains(&word) || WORD_ENDS.iter().any(|end| word.ends_with(end))
    }) || WORDS.contains(&squashed)
        || WORD_ENDS.iter().any(|end| squashed.ends_with(end))
}

/// True when `text` has one of `terms` in it. Keys are so short that a searcher for each term takes longer than to look.
fn holds_any<'t>(text: &str, mut terms: impl Iterator<Item = &'t str>) -> bool {
    let text = text.as_bytes();
    terms.any(|term| {
        let Some(last) = text.len().checked_sub(term.len()) else { return false };
        let Some(first) = term.as_bytes().first() else { return true };
        let begins = |at: usize| text[at] == *first && text[at..].starts_with(term.as_bytes());
        (0..=last).any(begins)
    })
}

/// Letters and digits of `key` in lower case.
fn squash(key: &str) -> String {
    if key.is_ascii() {
        return key.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    }
    key.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The words of a key, in lower case: parted by anything that is no letter or digit, and where `camelCase` and `HTTPServer`
/// change case.
fn words(key: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut chars = key.chars().peekable();
    let mut before: Option<char> = None;
    while let Some(c) = chars.next() {
        let next_is_lower = chars.peek().is_some_and(|n| n.is_lowercase());
        let begins = match before {
            Some(b) => c.is_uppercase() && (!b.is_uppercase() || next_is_lower),
            None => false,
        };
        if begins || !c.is_alphanumeric() {
            words.push(String::new());
        }
        if c.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        before = c.is_alphanumeric().then_some(c);
    }
    words.into_iter().filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secret_keys_are_known_in_any_case_and_in_compounds() {
        let keys = SecretKeys::new(&[]);
        for key in [
            "password",
            "PASSWORD",
            "db_password",
            "dbPassword",
            "DB-PASSWORD",
            "password2",
            "pass_word",
            "passwd",
            "pwd",
            "dbpwd",
            "secret",
            "client_secret",
            "token",
            "userToken",
            "usertoken",
            "access-token",
            "refreshTokens",
            "api_key",
            "apiKey",
            "X-Api-Key",
            "APIKEY",
            "APIKey",
            "authorization",
            "Proxy-Authorization",
            "cookie",
            "Set-Cookie",
            "session",
            "session_id",
            "PHPSESSID",
            "sessionid",
            "ssn",
            "user_ssn",
            "credit_card",
            "creditCardNumber",
            "cvv",
            "card_cvv2",
            "pin",
            "PIN",
            "user-pin",
            "smtp_pass",
            "aws_secret_access_key",
            "AccountKey",
            "private_key",
            "csrfmiddlewaretoken",
            "jwt",
        ] {
            assert!(keys.is_secret(key), "{key}");
        }
    }

    #[test]
    fn ordinary_keys_show_their_values() {
        let keys = SecretKeys::new(&[]);
        for key in [
            "",
            "user_id",
            "shipping",
            "spinner",
            "pinned",
            "author",
            "obsession_level",
            "key",
            "keyboard",
            "tokenizer",
            "compass",
            "order_number",
            "to",
            "subject",
            "amount",
            "opinion",
            "mapping",
            "<jwt>",
            "the <jwt> of bob",
            "redis://<url-credentials>@host",
            "<card>number",
        ] {
            assert!(!keys.is_secret(key), "{key}");
        }
    }

    #[test]
    fn keys_from_configuration_only_add() {
        let keys = SecretKeys::new(&["Tax-ID".into(), "--".into()]);
        assert!(keys.is_secret("customer_tax_id") && keys.is_secret("taxId") && keys.is_secret("password"));
        assert!(!keys.is_secret("customer"), "a rule without letters matches nothing");
    }

    proptest! {
        #[test]
        fn a_key_is_secret_when_a_plain_search_says_so(
            key in "([A-Za-z0-9_. -]{0,12}|\\PC{0,6}|pass|PW|Pin|token|Pwd|sEcret|apiKey|api|Key|cookie|x_|[0-9]|İ){0,4}",
            extra in prop::collection::vec("[a-z]{1,4}", 0..2),
        ) {
            let keys = SecretKeys::new(&extra);
            let squashed: String = key.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
            prop_assert_eq!(squash(&key), squashed.clone());
            let plain = ANYWHERE.iter().any(|term| squashed.contains(term))
                || keys.extra.iter().any(|term| squashed.contains(term.as_str()))
                || has_secret_word(&key, &squashed);
            prop_assert_eq!(keys.is_secret(&key), plain);
        }
    }

    #[test]
    fn keys_too_long_to_analyse_hide_their_value() {
        assert!(SecretKeys::new(&[]).is_secret(&"k".repeat(257)));
    }
}
