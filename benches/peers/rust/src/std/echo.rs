//! The echo server: a thread per connection.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::{io, thread};

use corio_bench_peers::serve::{self, BACKLOG, Hogs, announce};
use corio_bench_peers::{Args, Failure, Outcome};

/// Serves until the process ends.
pub(crate) fn serve(args: &Args) -> Outcome {
    if args.pooled {
        return Err(Failure::absent("serve-echo --pooled"));
    }
    let size = args.buffer();
    let socket = serve::bind(args, false)?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    let address: SocketAddr = listener.local_addr()?;
    if let Some(path) = &args.unix {
        serve::clear(args);
        let listener = UnixListener::bind(path)?;
        thread::spawn(move || -> io::Result<()> {
            loop {
                let (stream, _) = listener.accept()?;
                thread::spawn(move || serve::echo(stream, size));
            }
        });
    }
    let hogs = Hogs::new(args);
    announce(args, address, &hogs)?;
    for job in hogs.jobs() {
        let delay = args.delay;
        thread::spawn(move || {
            thread::sleep(delay);
            job();
        });
    }
    loop {
        let (stream, _) = listener.accept()?;
        thread::spawn(move || -> io::Result<()> {
            stream.set_nodelay(true)?;
            serve::echo(stream, size);
            Ok(())
        });
    }
}
