//! The websocket example's handshake: whatever a stranger sends is a wish, an incomplete one, or refused.

#[path = "../websocket/handshake.rs"]
mod handshake;

use handshake::{MAX_HEAD, Wish, read};
use proptest::prelude::*;

const GOOD: &str = "GET /room HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn wish(head: &str) -> Wish {
    read(head.as_bytes()).expect("a whole head").1
}

/// The example of RFC 6455, section 1.3.
#[test]
fn the_answer_is_the_standards() {
    let Wish::Upgrade(answer) = wish(GOOD) else {
        panic!("{:?}", wish(GOOD));
    };
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(
        answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
        "{answer}"
    );
}

#[test]
fn what_is_missing_is_refused() {
    assert_eq!(wish("GET / HTTP/1.1\r\n\r\n"), Wish::Page);
    for (old, new, status) in [
        ("GET", "POST", "405"),
        ("Version: 13", "Version: 12", "426"),
        (
            "Connection: keep-alive, Upgrade",
            "Connection: keep-alive",
            "400",
        ),
        ("HTTP/1.1", "HTTP/1.0", "400"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "short", "400"),
        ("Upgrade: websocket\r\n", "", "404"),
    ] {
        let head = GOOD.replace(old, new);
        assert_ne!(head, GOOD);
        let Wish::Refused(got) = wish(&head) else {
            panic!("{head}");
        };
        assert!(got.starts_with(status), "{head}: {got}");
    }
}

proptest! {
    #[test]
    fn anything_is_a_wish_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2 * MAX_HEAD)) {
        match read(&bytes) {
            Some((length, _)) => prop_assert!(length <= bytes.len()),
            None => prop_assert!(bytes.len() < MAX_HEAD),
        }
    }

    #[test]
    fn a_part_is_incomplete_and_what_follows_is_left(
        cut in 0..GOOD.len(),
        rest in proptest::collection::vec(any::<u8>(), 0..50),
    ) {
        prop_assert_eq!(read(&GOOD.as_bytes()[..cut]), None);
        let mut bytes = GOOD.as_bytes().to_vec();
        bytes.extend(&rest);
        let (length, wish) = read(&bytes).unwrap();
        prop_assert_eq!(length, GOOD.len());
        prop_assert!(matches!(wish, Wish::Upgrade(_)));
    }

    // Few and long, or short and more than there is room for.
    #[test]
    fn a_head_without_end_is_refused(line in "[a-z]{1,20}: ([a-z]{1,60}|[a-z]{200,300})\r\n") {
        let mut head = "GET / HTTP/1.1\r\n".to_owned();
        while head.len() < MAX_HEAD {
            head.push_str(&line);
        }
        prop_assert!(matches!(wish(&head), Wish::Refused(status) if status.starts_with("431")));
    }
}
