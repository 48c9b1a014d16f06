//! Answers of an HTTP server: 200, and the body that belongs there.
//!
//! Answers to the same request are the same but for the second in their `Date`. So an answer is
//! taken apart only if it differs from the last one that was; the others are one comparison of
//! memory, and the generator keeps up with servers that answer a million requests a second.

use super::exchange::Check;

/// What is asked.
pub(super) const REQUEST: &[u8] = b"GET /plaintext HTTP/1.1\r\nHost: corio\r\n\r\n";

/// What every answer carries.
const BODY: &[u8] = b"Hello, World!";

/// The longest answer that is waited for.
const LONGEST: usize = 16 << 10;

/// Takes answers apart.
#[derive(Debug)]
pub(super) struct Answers {
    /// The last answer that was taken apart and found right.
    known: Vec<u8>,
    /// The beginnings of answers, by connection.
    begun: Vec<Vec<u8>>,
}

impl Answers {
    pub(super) fn new(connections: usize) -> Answers {
        Answers {
            known: Vec::new(),
            begun: vec![Vec::new(); connections],
        }
    }

    /// How many answers there are, and how many bytes they have.
    fn count(&mut self, bytes: &[u8]) -> Result<(usize, usize), String> {
        let (mut count, mut length) = (0, 0);
        while length < bytes.len() {
            let rest = &bytes[length..];
            if self.known.is_empty() || !rest.starts_with(&self.known) {
                let Some(length) = answer(rest)? else { break };
                self.known = rest[..length].to_vec();
            }
            length += self.known.len();
            count += 1;
        }
        Ok((count, length))
    }
}

impl Check for Answers {
    fn check(&mut self, connection: usize, bytes: &[u8]) -> Result<usize, String> {
        let mut whole = std::mem::take(&mut self.begun[connection]);
        let (count, rest) = if whole.is_empty() {
            let (count, length) = self.count(bytes)?;
            (count, &bytes[length..])
        } else {
            whole.extend_from_slice(bytes);
            let (count, length) = self.count(&whole)?;
            (count, &whole[length..])
        };
        if rest.len() > LONGEST {
            return Err(format!("an answer of more than {LONGEST} bytes"));
        }
        self.begun[connection] = rest.to_vec();
        Ok(count)
    }
}

/// The length of the answer that the bytes begin with, if all of it is there.
fn answer(bytes: &[u8]) -> Result<Option<usize>, String> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if !status.starts_with("HTTP/1.1 200") {
        return Err(format!("status line `{status}`"));
    }
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok());
    if length != Some(BODY.len()) {
        return Err(format!(
            "a body of {} bytes was expected: {head}",
            BODY.len()
        ));
    }
    let body = &bytes[end + 4..];
    if !BODY.starts_with(&body[..body.len().min(BODY.len())]) {
        let found = String::from_utf8_lossy(&body[..body.len().min(BODY.len())]);
        return Err(format!("body `{found}`"));
    }
    Ok((body.len() >= BODY.len()).then_some(end + 4 + BODY.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(second: u32) -> String {
        format!(
            "HTTP/1.1 200 OK\r\nDate: 00:00:0{second}\r\nContent-Length: 13\r\n\r\nHello, World!"
        )
    }

    #[test]
    fn answers_in_pieces() {
        let stream = [one(1), one(1), one(2), one(3), one(3)].concat();
        for size in 1..stream.len() {
            let mut answers = Answers::new(2);
            let count: usize = stream
                .as_bytes()
                .chunks(size)
                .map(|piece| answers.check(1, piece).unwrap())
                .sum();
            assert_eq!(count, 5, "pieces of {size}");
        }
    }

    #[test]
    fn what_is_wrong() {
        let wrong = |text: &str| Answers::new(1).check(0, text.as_bytes()).unwrap_err();
        assert!(wrong(&one(1).replace("200", "500")).contains("status line"));
        assert!(wrong(&one(1).replace("World", "Wirld")).contains("body `Hello, Wirld!`"));
        assert!(wrong(&one(1).replace("13", "14")).contains("13 bytes"));
        assert!(wrong(&[one(1), "x\r\n\r\n".to_owned()].concat()).contains("status line `x`"));
    }
}
