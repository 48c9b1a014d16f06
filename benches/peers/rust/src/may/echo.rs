//! The echo server: a coroutine per connection.

use std::io;

use corio_bench_peers::serve::{self, Hogs, announce};
use corio_bench_peers::{Args, Failure, Outcome};
use may::net::TcpListener;
use may::os::unix::net::UnixListener;
use may::{coroutine, go};

/// Serves until the process ends.
pub(crate) fn serve(args: &Args) -> Outcome {
    if args.pooled {
        return Err(Failure::absent("serve-echo --pooled"));
    }
    let size = args.buffer();
    let listener = TcpListener::bind(args.addr.as_str())?;
    let address = listener.local_addr()?;
    if let Some(path) = &args.unix {
        serve::clear(args);
        let listener = UnixListener::bind(path)?;
        go!(move || -> io::Result<()> {
            loop {
                let (stream, _) = listener.accept()?;
                go!(move || serve::echo(stream, size));
            }
        });
    }
    let hogs = Hogs::new(args);
    announce(args, address, &hogs)?;
    for job in hogs.jobs() {
        let delay = args.delay;
        go!(move || {
            coroutine::sleep(delay);
            // From the timer thread, on which sleepers wake up, to a worker.
            coroutine::yield_now();
            job();
        });
    }
    let accepting = go!(move || -> io::Result<Vec<_>> {
        loop {
            let (stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            go!(move || serve::echo(stream, size));
        }
    });
    Ok(accepting.join().expect("a coroutine that does not panic")?)
}
