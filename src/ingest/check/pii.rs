//! Does an id, as a whole, look like personal data?
//!
//! Only whole shapes count: a long run of digits inside a hexadecimal pseudonym is no phone number.

/// Whether a text id is shaped like an e-mail address, a phone number, a national id or a payment card.
#[must_use]
#[inline]
pub fn looks_personal(id: &[u8]) -> bool {
    !plain(id) && has_shape(id)
}

/// As [`looks_personal`], of any id.
fn has_shape(id: &[u8]) -> bool {
    // Almost every pseudonym holds a letter other than X and no @, which no shape below allows.
    let telling = id.iter().any(|b| b.is_ascii_alphabetic() && !matches!(b, b'x' | b'X'));
    if telling {
        return id.contains(&b'@') && email(id);
    }
    phone(id) || national_id(id) || payment_card(id)
}

/// One in each of a word's bytes.
const EACH: u64 = 0x0101_0101_0101_0101;

/// Whether the words of an id show that it has none of the shapes: it holds a letter from A to O, and no @. Of an id shorter
/// than a word they show nothing. The last word may begin within the one before, so that no byte is left out.
#[inline]
fn plain(id: &[u8]) -> bool {
    let Some(last) = id.last_chunk::<8>() else { return false };
    let (mut letters, mut ats) = (0_u64, 0_u64);
    for word in id.as_chunks::<8>().0.iter().chain([last]) {
        let word = u64::from_ne_bytes(*word);
        letters |= letters_to_o(word);
        ats |= zeros(word ^ (u64::from(b'@') * EACH));
    }
    letters != 0 && ats == 0
}

/// Not zero when a byte of a word is a letter from A to O, small or capital: of its bits 7, 6 and 4 the second alone is set, and one
/// of the lowest four. What is shifted stays within its byte.
const fn letters_to_o(word: u64) -> u64 {
    let lowest = (word & (0x0f * EACH)) + 0x0f * EACH;
    (lowest << 2) & word & !(word << 2) & !(word >> 1) & (0x40 * EACH)
}

/// Not zero when a byte of a word is zero, and only then: taking one from each byte gives the highest bit to one that had none only where it
/// is zero, or where a lower one is that it lends to.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(EACH) & !word & (0x80 * EACH)
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

    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_show_nothing_that_the_bytes_do_not(
            id in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                "[0-9a-f]{8,32}".prop_map(String::into_bytes),
                "[xX0-9@. a-cn-q+-]{0,24}".prop_map(String::into_bytes),
                "[a-z]{1,8}@[a-z]{1,9}[.][a-z]{1,3}".prop_map(String::into_bytes),
            ],
        ) {
            prop_assert_eq!(looks_personal(&id), has_shape(&id));
        }
    }

    #[test]
    fn a_letter_or_an_at_is_seen_wherever_it_stands() {
        for len in 8..30 {
            for at in 0..len {
                for byte in 0..=255 {
                    let mut id = vec![b'7'; len];
                    id[at] = byte;
                    assert_eq!(plain(&id), matches!(byte, b'A'..=b'O' | b'a'..=b'o'), "{byte} at {at} of {len}");
                    id[len - 1 - at] = b'@';
                    assert!(!plain(&id), "{byte} at {at} of {len}, and @");
                    if at != len - 1 - at {
                        id[len - 1 - at] = b'C';
                        assert_eq!(plain(&id), byte != b'@', "{byte} at {at} of {len}, and C");
                    }
                }
            }
        }
        assert!(!plain(b"abcdefg"));
    }

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
