//! The HTTP server's requests: whatever a stranger sends is a request, an incomplete one, or refused; and where it is cut
//! into pieces makes no difference.

#[path = "../http_server/request.rs"]
mod request;

use proptest::prelude::*;
use request::{BAD_REQUEST, Body, Framing, MAX_HEAD, Part, Refusal, TOO_LARGE, head};

const LIMIT: u64 = 1000;

/// Reads a body that comes in pieces; what is left over, too.
fn read(framing: Framing, pieces: &[&[u8]]) -> Result<Option<(Vec<u8>, usize)>, Refusal> {
    let mut body = Body::new(framing, LIMIT)?;
    let (mut input, mut bytes) = (Vec::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match body.next(&input)? {
                Part::Data(data) => {
                    bytes.extend_from_slice(&input[data.clone()]);
                    input.drain(..data.end);
                }
                Part::Skip(n) => drop(input.drain(..n)),
                Part::More => break,
                Part::End => {
                    assert!(body.is_over());
                    let pieces = pieces.iter().map(|piece| piece.len()).sum::<usize>();
                    assert!(input.len() <= pieces);
                    return Ok(Some((bytes, input.len())));
                }
            }
        }
    }
    Ok(None)
}

/// A body in chunks of these sizes, as it is sent.
fn chunked(body: &[u8], sizes: &[usize]) -> Vec<u8> {
    let (mut out, mut rest, mut sizes) = (Vec::new(), body, sizes.iter().cycle());
    while !rest.is_empty() {
        let n = sizes.next().map_or(rest.len(), |&n| n.clamp(1, rest.len()));
        out.extend(format!("{n:X};name=value\r\n").bytes());
        out.extend(&rest[..n]);
        out.extend(b"\r\n");
        rest = &rest[n..];
    }
    out.extend(b"0\r\nTrailer: t\r\n\r\n");
    out
}

/// The same bytes, cut at these places.
fn cut<'a>(bytes: &'a [u8], at: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = at.iter().map(|at| at.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places
        .windows(2)
        .map(|pair| &bytes[pair[0]..pair[1]])
        .collect()
}

fn refusal(text: &str) -> Option<Refusal> {
    head(text.as_bytes()).err()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn anything_is_a_request_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2 * MAX_HEAD)) {
        match head(&bytes) {
            Ok(Some(head)) => prop_assert!(head.length <= bytes.len().min(MAX_HEAD)),
            Ok(None) => prop_assert!(bytes.len() < MAX_HEAD),
            Err(status) => prop_assert!(status.starts_with(['4', '5'])),
        }
    }

    #[test]
    fn almost_a_request_is_none_or_refused(
        mut bytes in Just(b"POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nRange: bytes=1-2\r\nConnection: close\r\n\r\n".to_vec()),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(Some(head)) = head(&bytes) {
            prop_assert!(head.length <= bytes.len());
        }
    }

    #[test]
    fn a_part_is_incomplete_and_what_follows_is_left(
        path in "/[a-z0-9/]{0,30}",
        query in "[a-z=&]{0,10}",
        rest in proptest::collection::vec(any::<u8>(), 0..100),
        cut in any::<prop::sample::Index>(),
    ) {
        let text = format!("GET {path}?{query} HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n");
        prop_assert_eq!(head(&text.as_bytes()[..cut.index(text.len())]), Ok(None));
        let mut bytes = text.clone().into_bytes();
        bytes.extend(rest);
        let found = head(&bytes).unwrap().unwrap();
        prop_assert_eq!((found.length, found.method, found.path), (text.len(), "GET", path.as_str()));
        prop_assert!(found.keep_alive && found.framing == Framing::Length(0));
    }

    #[test]
    fn chunks_give_the_body_wherever_they_are_cut(
        body in proptest::collection::vec(any::<u8>(), 0..LIMIT as usize - 20),
        sizes in proptest::collection::vec(1..400_usize, 0..5),
        at in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
        rest in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut bytes = chunked(&body, &sizes);
        let length = bytes.len();
        bytes.extend(&rest);
        let (got, left) = read(Framing::Chunked, &[&bytes]).unwrap().unwrap();
        prop_assert_eq!((&got, left), (&body, rest.len()));
        let pieces = cut(&bytes[..length], &at);
        let (got, left) = read(Framing::Chunked, &pieces).unwrap().unwrap();
        prop_assert_eq!((got, left), (body, 0));
    }

    #[test]
    fn counted_bytes_give_the_body_wherever_they_are_cut(
        body in proptest::collection::vec(any::<u8>(), 1..LIMIT as usize),
        at in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let framing = Framing::Length(body.len() as u64);
        let (got, left) = read(framing, &cut(&body, &at)).unwrap().unwrap();
        prop_assert_eq!((&got, left), (&body, 0));
        prop_assert_eq!(read(framing, &[&body[1..]]).unwrap(), None);
    }

    #[test]
    fn any_chunks_are_a_body_or_refused(
        bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'1'), Just(b'0'), any::<u8>()], 0..3000),
    ) {
        if let Ok(Some((body, _))) = read(Framing::Chunked, &[&bytes]) {
            prop_assert!(body.len() as u64 <= LIMIT);
        }
    }
}

#[test]
fn too_much_is_refused_before_it_is_read() {
    assert_eq!(
        Body::new(Framing::Length(LIMIT + 1), LIMIT).unwrap_err(),
        TOO_LARGE
    );
    assert_eq!(
        read(Framing::Chunked, &[b"ffffffffffffffff\r\n"]),
        Err(TOO_LARGE)
    );
    assert_eq!(
        read(Framing::Chunked, &[b"10000000000000000\r\n"]),
        Err(BAD_REQUEST)
    );
    let trailer = format!("0\r\n{}", "a: b\r\n".repeat(1000));
    assert_eq!(
        read(Framing::Chunked, &[trailer.as_bytes()]),
        Err(TOO_LARGE)
    );
    // A line without end.
    assert_eq!(read(Framing::Chunked, &[&[b'0'; 300]]), Err(BAD_REQUEST));
}

#[test]
fn what_readers_could_disagree_about_is_refused() {
    let with = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
    for fields in [
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: +1",
        "Content-Length: 1, 1",
        "Content-Length: ",
        "Content-Length: 99999999999999999999",
        "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "Host: b",
        "X : y",
        "X\u{0}: y",
    ] {
        assert_eq!(refusal(&with(fields)), Some(BAD_REQUEST), "{fields:?}");
    }
    for fields in [
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ] {
        assert!(
            refusal(&with(fields)).unwrap().starts_with("501"),
            "{fields:?}"
        );
    }
    assert!(
        refusal(&with("Expect: miracles"))
            .unwrap()
            .starts_with("417")
    );
    // The same twice is no contradiction.
    let twice = with("Content-Length: 1\r\nContent-Length: 1");
    assert_eq!(
        head(twice.as_bytes()).unwrap().unwrap().framing,
        Framing::Length(1)
    );
}
