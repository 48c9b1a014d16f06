//! The echo server: a goroutine per connection, straight-line code.
//!
//! The buffer lies on the goroutine's stack, or with `--pooled` comes from a pool when there is something
//! to read. What accepted connections are set to, they have from the listener, without a system call.

use std::io::{self, Write};

use corio::go;
use corio_bench_peers::serve::{self, Hogs, announce};
use corio_bench_peers::{Args, Failure, Outcome};
use corio_net::{BufferPool, Listener, PooledRead, TcpListener, UnixListener, listen};

/// A listener for TCP, with Go's defaults: no delay, and all the backlog that the system allows.
pub(crate) fn tcp(args: &Args) -> Result<TcpListener, Failure> {
    match listen("tcp", &args.addr)? {
        Listener::Tcp(listener) => Ok(listener),
        _ => Err(Failure::Wrong("not a listener for TCP".to_owned())),
    }
}

/// Serves until the process ends.
pub(crate) fn serve(args: &Args) -> Outcome {
    let (size, pooled) = (args.buffer(), args.pooled);
    let pool: &BufferPool = Box::leak(Box::new(BufferPool::new(size)));
    let listener = tcp(args)?;
    let address = listener.local_addr()?;
    if let Some(path) = &args.unix {
        serve::clear(args);
        let listener = UnixListener::bind(path)?;
        go!(move || -> io::Result<()> {
            loop {
                let (stream, _) = listener.accept()?;
                if pooled {
                    go!(echo_pooled(stream, pool));
                } else {
                    go!(serve::echo(stream, size));
                }
            }
        });
    }
    let hogs = Hogs::new(args);
    announce(args, address, &hogs)?;
    for job in hogs.jobs() {
        let delay = args.delay;
        go!(move || {
            corio::sleep(delay);
            job();
        });
    }
    let accepting = corio::spawn(move || -> io::Result<Vec<_>> {
        loop {
            let (stream, _) = listener.accept()?;
            if pooled {
                go!(echo_pooled(stream, pool));
            } else {
                go!(serve::echo(stream, size));
            }
        }
    });
    Ok(accepting.join().expect("a goroutine that does not panic")?)
}

/// As [`serve::echo`], without a buffer while there is nothing to read.
fn echo_pooled(mut stream: impl PooledRead + Write, pool: &'static BufferPool) {
    while let Ok(bytes) = pool.read(&stream) {
        if bytes.is_empty() || stream.write_all(&bytes).is_err() {
            break;
        }
    }
}
