//! redis_lite's parser: requests come through whole, however they are cut up; what is none is refused, without
//! a panic, and never held in memory beyond the limits.

#[allow(dead_code)]
#[path = "../redis_lite/resp.rs"]
mod resp;

use proptest::collection::vec;
use proptest::prelude::*;
use resp::{MAX_INLINE, Parser, ProtocolError};

const MAX: usize = 4096;

type Request = Vec<Vec<u8>>;

/// What a parser makes of input that comes in pieces: the requests, and how it ended. As a server does, it keeps
/// what belongs to no request yet.
fn parse_all(pieces: &[&[u8]], max: usize) -> (Vec<Request>, Option<ProtocolError>, usize) {
    let mut parser = Parser::new(max);
    let (mut requests, mut input) = (Vec::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match parser.parse(&input) {
                Ok(Some((args, length))) => {
                    assert!(length > 0 && length <= input.len());
                    requests.push(args.iter().map(<[u8]>::to_vec).collect());
                    input.drain(..length);
                }
                Ok(None) => break,
                Err(error) => return (requests, Some(error), input.len()),
            }
        }
    }
    (requests, None, input.len())
}

fn encode(request: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", request.len()).into_bytes();
    for arg in request {
        bytes.extend(format!("${}\r\n", arg.len()).into_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The input in pieces that end at these places.
fn cut<'a>(input: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = places.iter().map(|at| at % (input.len() + 1)).collect();
    places.push(0);
    places.push(input.len());
    places.sort_unstable();
    places
        .windows(2)
        .map(|two| &input[two[0]..two[1]])
        .collect()
}

/// Bytes that look like a protocol, more or less.
fn almost_requests() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(b"*2\r\n".to_vec()),
        Just(b"*-1\r\n".to_vec()),
        Just(b"*1048577\r\n".to_vec()),
        Just(b"$3\r\nGET\r\n".to_vec()),
        Just(b"$0\r\n\r\n".to_vec()),
        Just(b"$4097\r\n".to_vec()),
        Just(b"$99999999999999999999\r\n".to_vec()),
        Just(b"PING \"a\\x4".to_vec()),
        Just(b"'\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        vec(any::<u8>(), 0..8),
        "[*$\r\n0-9a-z \"'\\\\-]{0,12}".prop_map(String::into_bytes),
    ];
    vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn requests_come_through_whole(
        requests in vec(vec(vec(any::<u8>(), 0..40), 0..6), 0..8),
        places in vec(any::<usize>(), 0..30),
    ) {
        let input: Vec<u8> = requests.iter().flat_map(|request| encode(request)).collect();
        let (parsed, error, rest) = parse_all(&cut(&input, &places), MAX);
        prop_assert_eq!(error, None);
        prop_assert_eq!(rest, 0);
        prop_assert_eq!(parsed, requests);
    }

    #[test]
    fn cutting_changes_nothing(input in almost_requests(), places in vec(any::<usize>(), 0..30)) {
        let (requests, error, rest) = parse_all(&[&input], MAX);
        let (pieces, their_error, their_rest) = parse_all(&cut(&input, &places), MAX);
        prop_assert_eq!(pieces, requests);
        // A piece may show that there is an error before the rest has come.
        prop_assert_eq!(&their_error, &error);
        if error.is_none() {
            prop_assert_eq!(their_rest, rest);
        }
    }

    #[test]
    fn byte_by_byte(input in almost_requests()) {
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        let whole = parse_all(&[&input], MAX);
        let single = parse_all(&bytes, MAX);
        prop_assert_eq!(single.0, whole.0);
        prop_assert_eq!(single.1, whole.1);
    }

    /// However long the input: what is held for a request that is not complete has a limit.
    #[test]
    fn no_more_is_held_than_the_limit(
        start in prop_oneof![Just("*100000\r\n"), Just("*3\r\n$4000\r\n"), Just(""), Just("*1\r\n$")],
        fill in prop_oneof![Just("$1\r\nx\r\n"), Just("x"), Just("9"), Just("\0")],
    ) {
        let mut input = start.as_bytes().to_vec();
        while input.len() < 3 * MAX_INLINE {
            input.extend_from_slice(fill.as_bytes());
        }
        let pieces: Vec<&[u8]> = input.chunks(100).collect();
        let (_, error, held) = parse_all(&pieces, MAX);
        prop_assert!(error.is_some() || held <= MAX + 64, "{held} bytes are held");
        let limit = if start.is_empty() { MAX_INLINE } else { MAX };
        prop_assert!(held <= limit + 200, "{held} bytes are held");
    }

    #[test]
    fn integers_as_redis_takes_them(number in any::<i64>(), text in "[-+0-9 ]{0,21}") {
        prop_assert_eq!(resp::integer(number.to_string().as_bytes()), Some(number));
        let number = resp::integer(text.as_bytes());
        let parsed = text.parse::<i64>().ok().filter(|parsed| parsed.to_string() == text);
        prop_assert_eq!(number, parsed);
    }

    #[test]
    fn quotes_hold_words_together(words in vec("[ -~]{0,10}", 1..5)) {
        let quoted: Vec<String> = words
            .iter()
            .map(|word| format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")))
            .collect();
        // A first byte that is a star would begin a request of the other kind.
        let input = format!("{}\r\n", quoted.join(" "));
        let (parsed, error, _) = parse_all(&[input.as_bytes()], MAX);
        prop_assert_eq!(error, None);
        let words: Request = words.into_iter().map(String::into_bytes).collect();
        prop_assert_eq!(parsed, vec![words]);
    }
}

#[test]
fn errors_say_what_redis_says() {
    let error = |input: &str| {
        let (_, error, _) = parse_all(&[input.as_bytes()], MAX);
        error.map(|error| error.0.into_owned())
    };
    let says =
        |input: &str, text: &str| assert_eq!(error(input).as_deref(), Some(text), "{input:?}");
    says("*1\r\n$-1\r\n", "invalid bulk length");
    says("*1\r\n$4097\r\n", "invalid bulk length");
    says("*1\r\n$x\r\n", "invalid bulk length");
    says("*1\r\n:3\r\n", "expected '$', got ':'");
    says("*1048577\r\n", "invalid multibulk length");
    says("*x\r\n", "invalid multibulk length");
    says("GET \"a\r\n", "unbalanced quotes in request");
    says("GET \"a\"b\r\n", "unbalanced quotes in request");
    says(&"x".repeat(MAX_INLINE + 1), "too big inline request");
    says(
        &format!("*2\r\n$2\r\nxx\r\n$4090\r\n{}", "x".repeat(90)),
        "too big request",
    );
    assert_eq!(error("*2\r\n$4000\r\nxx"), None);
}
