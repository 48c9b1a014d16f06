//! The plaintext server: requests are parsed by httparse, and all that one read brought in are answered
//! by one write. See the example `http_hello` for a server that strangers may talk to.

use std::io::{self, Read, Write};

use corio::go;
use corio_bench_peers::http::Answer;
use corio_bench_peers::serve::{Hogs, announce};
use corio_bench_peers::{Args, Outcome};
use corio_net::TcpStream;
use httparse::{EMPTY_HEADER, Request, Status};

use crate::echo::tcp;

/// The longest request head, and what one read takes at most.
const INPUT: usize = 8192;

/// Serves until the process ends.
pub(crate) fn serve(args: &Args) -> Outcome {
    let listener = tcp(args)?;
    announce(args, listener.local_addr()?, &Hogs::new(args))?;
    let accepting = corio::spawn(move || -> io::Result<Vec<_>> {
        loop {
            let (stream, _) = listener.accept()?;
            go!(connection(stream));
        }
    });
    Ok(accepting.join().expect("a goroutine that does not panic")?)
}

/// Serves one connection until it is closed or something goes wrong.
fn connection(mut stream: TcpStream) -> io::Result<()> {
    let mut input = [0; INPUT];
    let mut end = 0; // input[..end] is received and not yet used
    let mut answer = Answer::of("corio");
    let mut output = Vec::new();
    loop {
        let received = stream.read(&mut input[end..])?;
        if received == 0 {
            return Ok(());
        }
        end += received;
        let now = answer.now();
        let mut start = 0;
        let mut open = true;
        while open && let Some((length, keep_alive)) = parse(&input[start..end])? {
            output.extend_from_slice(now);
            start += length;
            open = keep_alive;
        }
        stream.write_all(&output)?;
        if !open {
            return Ok(());
        }
        output.clear();
        input.copy_within(start..end, 0);
        end -= start;
    }
}

/// The length of the first request, which has no body, and whether the connection stays open after it.
/// `None` if there is more to come.
fn parse(input: &[u8]) -> io::Result<Option<(usize, bool)>> {
    let mut headers = [EMPTY_HEADER; 32];
    let mut request = Request::new(&mut headers);
    match request.parse(input) {
        Ok(Status::Complete(length)) => {
            let closes = |header: &httparse::Header<'_>| {
                header.name.eq_ignore_ascii_case("connection")
                    && header.value.eq_ignore_ascii_case(b"close")
            };
            let keep_alive = !request.headers.iter().any(closes);
            Ok(Some((length, keep_alive)))
        }
        Ok(Status::Partial) if input.len() < INPUT => Ok(None),
        Ok(Status::Partial) => Err(io::ErrorKind::InvalidData.into()),
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}
