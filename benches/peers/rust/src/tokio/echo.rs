//! The echo server: a task per connection. The backlog is given, since what tokio's listeners have
//! otherwise is 128, and connections get lost beyond that.

use std::io;

use corio_bench_peers::serve::{self, BACKLOG, Hogs, announce};
use corio_bench_peers::{Args, Failure, Outcome};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;

use crate::crew::in_task;

/// A listener for TCP. Must be called within the runtime.
pub(crate) fn tcp(args: &Args) -> Result<TcpListener, Failure> {
    let socket = serve::bind(args, false)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(socket.into())?)
}

/// Serves until the process ends.
pub(crate) fn serve(runtime: &Runtime, args: &Args) -> Outcome {
    if args.pooled {
        return Err(Failure::absent("serve-echo --pooled"));
    }
    let _within = runtime.enter();
    let size = args.buffer();
    let listener = tcp(args)?;
    let address = listener.local_addr()?;
    if let Some(path) = &args.unix {
        serve::clear(args);
        let listener = UnixListener::bind(path)?;
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(echo(stream, size));
            }
        });
    }
    let hogs = Hogs::new(args);
    announce(args, address, &hogs)?;
    for job in hogs.jobs() {
        let delay = args.delay;
        runtime.spawn(async move {
            tokio::time::sleep(delay).await;
            job();
        });
    }
    let accepted: io::Result<_> = in_task(runtime, async move {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(echo(stream, size));
        }
    });
    Ok(accepted?)
}

/// Sends everything back until the other side closes or something goes wrong.
async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin, size: usize) {
    let mut buffer = vec![0; size];
    while let Ok(n) = stream.read(&mut buffer).await {
        if n == 0 || stream.write_all(&buffer[..n]).await.is_err() {
            break;
        }
    }
}
