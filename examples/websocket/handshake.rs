//! From HTTP to WebSocket: the request's head, and what it is answered with. Knows nothing of sockets.

use httparse::{EMPTY_HEADER, Request, Status};
use tungstenite::handshake::derive_accept_key;

/// The longest head of a request.
pub(crate) const MAX_HEAD: usize = 8192;

/// What somebody wants who has sent a head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To switch to WebSocket: this is the answer, and after it frames follow.
    Upgrade(String),
    /// The page.
    Page,
    /// Something that is refused, with this status.
    Refused(&'static str),
}

/// Reads a head: how long it is, and what it asks for. `None` if it isn't complete.
pub(crate) fn read(input: &[u8]) -> Option<(usize, Wish)> {
    let mut headers = [EMPTY_HEADER; 64];
    let mut request = Request::new(&mut headers);
    match request.parse(input) {
        Ok(Status::Complete(length)) => Some((length, wish(&request))),
        Ok(Status::Partial) if input.len() < MAX_HEAD => None,
        Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => Some((
            input.len(),
            Wish::Refused("431 Request Header Fields Too Large"),
        )),
        Err(_) => Some((input.len(), Wish::Refused("400 Bad Request"))),
    }
}

fn wish(request: &Request<'_, '_>) -> Wish {
    let header = |name: &str| {
        let found = request
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name));
        found.map_or("", |header| str::from_utf8(header.value).unwrap_or(""))
    };
    let lists = |name: &str, word: &str| {
        header(name)
            .split(',')
            .any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    if request.method != Some("GET") {
        return Wish::Refused("405 Method Not Allowed\r\nAllow: GET");
    }
    if !lists("upgrade", "websocket") {
        return match request.path {
            Some("/") => Wish::Page,
            _ => Wish::Refused("404 Not Found"),
        };
    }
    let key = header("sec-websocket-key");
    if header("sec-websocket-version") != "13" {
        return Wish::Refused("426 Upgrade Required\r\nSec-WebSocket-Version: 13");
    }
    // 16 bytes in Base64.
    if request.version != Some(1) || !lists("connection", "upgrade") || key.len() != 24 {
        return Wish::Refused("400 Bad Request");
    }
    Wish::Upgrade(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    ))
}
