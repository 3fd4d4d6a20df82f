//! Card numbers.

/// True when `text`, digits with single separators, holds 13 to 19 digits in whole groups that pass Luhn.
pub(super) fn holds_card_number(text: &str) -> bool {
    let groups: Vec<&str> = text.split([' ', '-']).collect();
    (0..groups.len()).any(|first| {
        let mut digits = String::new();
        // A group has at least one digit, so that 19 of them are enough to look at.
        groups[first..].iter().take(19).any(|group| {
            if digits.len() <= 19 {
                digits.push_str(group);
            }
            (13..=19).contains(&digits.len()) && passes(digits.bytes())
        })
    })
}

/// True when an integer can only be meant as a card number: it passes Luhn and has an issuer's prefix and length. Other
/// numbers of that size are identifiers and times.
pub(super) fn is_card_number(number: u64) -> bool {
    // Nearly all numbers are shorter.
    if number < 100_000_000_000_000 {
        return false;
    }
    let text = number.to_string();
    let prefix = |digits: usize| text.get(..digits).and_then(|p| p.parse::<u32>().ok()).unwrap_or(0);
    let issued = match text.len() {
        15 => matches!(prefix(2), 34 | 37),
        16 => prefix(1) == 4 || matches!(prefix(2), 51..=55 | 65) || matches!(prefix(4), 2221..=2720 | 6011),
        _ => false,
    };
    issued && passes(text.bytes())
}

fn passes(digits: impl DoubleEndedIterator<Item = u8>) -> bool {
    let sum: u32 = digits
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit.saturating_sub(b'0'));
            match (place % 2, digit * 2) {
                (0, _) => digit,
                (_, doubled) if doubled > 9 => doubled - 9,
                (_, doubled) => doubled,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_numbers_are_found_among_other_digits() {
        for text in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "12 4111-1111-1111-1111",
            "3782 822463 10005",
            "1 2 3 4111111111111111 9",
        ] {
            assert!(holds_card_number(text), "{text}");
        }
        for text in ["4111111111111112", "1234567890123", "2026 11 22"] {
            assert!(!holds_card_number(text), "{text}");
        }
    }

    #[test]
    fn a_long_row_of_digits_is_searched_in_one_pass() {
        let begin = std::time::Instant::now();
        assert!(!holds_card_number(&"1 ".repeat(40_000)));
        assert!(begin.elapsed() < std::time::Duration::from_secs(5), "each digit was compared with all that follow");
    }

    #[test]
    fn integers_are_cards_only_with_an_issuers_prefix() {
        assert!(is_card_number(4_111_111_111_111_111) && is_card_number(378_282_246_310_005));
        assert!(!is_card_number(1_795_000_000_000_000) && !is_card_number(4_111_111_111_111_112) && !is_card_number(0));
    }
}
