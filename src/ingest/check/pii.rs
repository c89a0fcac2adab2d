//! Does an id, as a whole, look like personal data?
//!
//! Only whole shapes count: a long run of digits inside a hexadecimal pseudonym is no phone number.

/// Whether a text id is shaped like an e-mail address, a phone number, a national id or a payment card.
#[must_use]
pub fn looks_personal(id: &[u8]) -> bool {
    // Almost every pseudonym holds a letter other than X and no @, which no shape below allows.
    let telling = id.iter().any(|b| b.is_ascii_alphabetic() && !matches!(b, b'x' | b'X'));
    if telling {
        return id.contains(&b'@') && email(id);
    }
    phone(id) || national_id(id) || payment_card(id)
}

fn email(id: &[u8]) -> bool {
    let Some(at) = id.iter().position(|b| *b == b'@') else { return false };
    let (local, host) = (&id[..at], &id[at + 1..]);
    let word = |part: &[u8]| !part.is_empty() && part.iter().all(|b| b.is_ascii_graphic() && *b != b'@');
    let Some(dot) = host.iter().rposition(|b| *b == b'.') else { return false };
    word(local) && word(&host[..dot]) && host.len() - dot > 2
}

/// `+` and 7 to 15 digits, a Chinese mobile number, or digits grouped as people write phone numbers.
fn phone(id: &[u8]) -> bool {
    let digits = digits(id);
    match id {
        [b'+', rest @ ..] => {
            (7..=15).contains(&digits) && rest.iter().all(|b| b.is_ascii_digit() || b" -().".contains(b))
        }
        [b'1', b'3'..=b'9', rest @ ..] if id.len() == 11 => rest.iter().all(u8::is_ascii_digit),
        [b'(' | b'0'..=b'9', ..] => {
            let separators = id.iter().filter(|b| b" -().".contains(b)).count();
            (10..=13).contains(&digits) && (2..=5).contains(&separators) && digits + separators == id.len()
        }
        _ => false,
    }
}

/// A Chinese resident identity number with its check digit, or a United States social security number.
fn national_id(id: &[u8]) -> bool {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    const CHECK: &[u8; 11] = b"10X98765432";
    if let [a, b, c, b'-', d, e, b'-', f, g, h, i] = id {
        return [a, b, c, d, e, f, g, h, i].iter().all(|b| b.is_ascii_digit());
    }
    let [body @ .., check] = id else { return false };
    if body.len() != 17 || !body.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let sum: u32 = body.iter().zip(WEIGHTS).map(|(b, w)| u32::from(b - b'0') * w).sum();
    CHECK.get((sum % 11) as usize) == Some(&check.to_ascii_uppercase())
}

/// 13 to 19 digits, alone or in groups, that begin as card numbers do and pass the Luhn check.
fn payment_card(id: &[u8]) -> bool {
    let digits: Vec<u32> = id.iter().filter(|b| b.is_ascii_digit()).map(|b| u32::from(b - b'0')).collect();
    let grouped = id.iter().all(|b| b.is_ascii_digit() || b" -".contains(b));
    if !grouped || !(13..=19).contains(&digits.len()) || !(2..=6).contains(&digits[0]) {
        return false;
    }
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(n, d)| match n % 2 {
            0 => *d,
            _ => d * 2 / 10 + d * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

fn digits(id: &[u8]) -> usize {
    id.iter().filter(|b| b.is_ascii_digit()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_of_personal_data_are_found() {
        for id in [
            "li.wei@example.com",
            "13812345678",
            "+8613812345678",
            "+1 (212) 555-0100",
            "(212) 555-0100",
            "110101199003074514",
            "11010519491231002X",
            "078-05-1120",
            "4111111111111111",
            "4111 1111 1111 1111",
        ] {
            assert!(looks_personal(id.as_bytes()), "{id}");
        }
    }

    #[test]
    fn pseudonyms_are_left_alone() {
        for id in [
            "9f86d081884c7d65",
            "1381234567a",
            "r-13812345678",
            "123456",
            "1234567890",
            "4111111111111112",
            "00000000000000000000000000000001",
            "a@b",
            "110101199003074511",
            "2025-01-31",
            "",
        ] {
            assert!(!looks_personal(id.as_bytes()), "{id}");
        }
    }
}
