//! The raw machine: an edge-triggered epoll loop for each proc, and no runtime. The physical limit.
//!
//! Each loop has a listener of its own on the same port and deals what it accepts out to all loops in
//! turn, by adding it to their epoll instances: no connection is handed over in memory, and each loop has
//! as many as any other. A loop has one buffer for all its connections. A connection has no state but its
//! descriptor, unless something could not be sent or a request is not complete.
//!
//! A read that does not fill the buffer has drained the socket, unless epoll told of an end as well: two
//! system calls per request. There are no tasks, so the workloads about tasks are absent, and so are hogs.

mod epoll;
mod services;

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::{io, thread};

use corio_bench_peers::serve::{self, BACKLOG, Hogs, announce};
use corio_bench_peers::{Args, Failure, Outcome, run};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::epoll::{Epoll, Interest, accept, close, read, write};
use crate::services::{Echo, Http, Service};

const VERSION: &str = concat!("libc ", env!("VERSION_libc"));

fn main() -> ExitCode {
    run("raw", VERSION, workload)
}

fn workload(args: &Args) -> Outcome {
    match args.workload.as_str() {
        "serve-echo" if args.hogs + args.blockers > 0 || args.pooled => {
            Err(Failure::absent("serve-echo with hogs, blockers or a pool"))
        }
        "serve-echo" => serve::<Echo>(args),
        "serve-http" => serve::<Http>(args),
        other => Err(Failure::absent(other)),
    }
}

/// Serves until the process ends.
fn serve<S: Service>(args: &Args) -> Outcome {
    let mut args = args.clone();
    let mut address: Option<SocketAddr> = None;
    let mut listeners = Vec::new();
    for _ in 0..args.procs {
        let socket = serve::bind(&args, true)?;
        // Inherited by what is accepted.
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        socket.listen(BACKLOG)?;
        // The next ones share the port that the first was given.
        let local = socket.local_addr()?.as_socket();
        address = address.or(local);
        args.addr = local.map_or(args.addr, |local| local.to_string());
        listeners.push(vec![OwnedFd::from(socket)]);
    }
    if let Some(path) = &args.unix {
        serve::clear(&args);
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        socket.set_nonblocking(true)?;
        socket.listen(BACKLOG)?;
        listeners[0].push(OwnedFd::from(socket));
    }
    let address = address.ok_or("no address")?;

    let epolls: Arc<[Epoll]> = listeners
        .iter()
        .map(|_| Epoll::new())
        .collect::<io::Result<_>>()?;
    let dealt = Arc::new(AtomicUsize::new(0));
    let loops: Vec<_> = listeners
        .into_iter()
        .enumerate()
        .map(|(index, listeners)| {
            let mut each = Loop {
                index,
                listeners,
                epolls: Arc::clone(&epolls),
                dealt: Arc::clone(&dealt),
                buffer: vec![0; args.buffer()],
                service: S::default(),
                unsent: Vec::new(),
            };
            thread::spawn(move || each.run())
        })
        .collect();
    announce(&args, address, &Hogs::new(&args))?;
    for each in loops {
        each.join().expect("a loop that does not panic")?;
    }
    Ok(Vec::new())
}

/// One thread's loop.
struct Loop<S> {
    index: usize,
    listeners: Vec<OwnedFd>,
    /// Those of all loops.
    epolls: Arc<[Epoll]>,
    /// How many connections all loops have accepted.
    dealt: Arc<AtomicUsize>,
    buffer: Vec<u8>,
    service: S,
    /// What could not be sent yet on connections, which are not read from until it is.
    unsent: Vec<(RawFd, Vec<u8>)>,
}

/// Whether a connection lives on.
enum Then {
    Stay,
    Close,
}

impl<S: Service> Loop<S> {
    fn run(&mut self) -> io::Result<()> {
        let epolls = Arc::clone(&self.epolls);
        let own = &epolls[self.index];
        for listener in &self.listeners {
            own.add(listener.as_raw_fd(), Interest::Read)?;
        }
        let mut events = Epoll::events();
        loop {
            for event in own.wait(&mut events)? {
                let fd = event.fd();
                if self.listeners.iter().any(|own| own.as_raw_fd() == fd) {
                    self.accept(fd)?;
                } else if let Then::Close = self.serve(own, fd, event.ends())? {
                    self.service.forget(fd);
                    close(fd);
                }
            }
        }
    }

    /// Accepts all that there are.
    fn accept(&self, listener: RawFd) -> io::Result<()> {
        while let Some(connection) = accept(listener)? {
            let turn = self.dealt.fetch_add(1, Relaxed) % self.epolls.len();
            self.epolls[turn].add(connection, Interest::Read)?;
        }
        Ok(())
    }

    /// Does what there is to be done for a connection. `ends` if reading will come to an end or an error.
    fn serve(&mut self, own: &Epoll, fd: RawFd, ends: bool) -> io::Result<Then> {
        if let Some(index) = self.unsent.iter().position(|unsent| unsent.0 == fd) {
            let (_, bytes) = &mut self.unsent[index];
            match write(fd, bytes) {
                Ok(sent) => drop(bytes.drain(..sent)),
                Err(_) => {
                    self.unsent.swap_remove(index);
                    return Ok(Then::Close);
                }
            }
            if !self.unsent[index].1.is_empty() {
                return Ok(Then::Stay);
            }
            self.unsent.swap_remove(index);
            // Tells at once if there is something to read.
            own.change(fd, Interest::Read)?;
            return Ok(Then::Stay);
        }
        loop {
            let received = match read(fd, &mut self.buffer) {
                Ok(Some(0)) | Err(_) => return Ok(Then::Close),
                Ok(Some(received)) => received,
                Ok(None) => return Ok(Then::Stay),
            };
            let answer = self.service.answer(fd, &self.buffer[..received]);
            match write(fd, answer) {
                Ok(sent) if sent == answer.len() => {}
                Ok(sent) => {
                    self.unsent.push((fd, answer[sent..].to_vec()));
                    own.change(fd, Interest::Write)?;
                    return Ok(Then::Stay);
                }
                Err(_) => return Ok(Then::Close),
            }
            if received < self.buffer.len() && !ends {
                return Ok(Then::Stay);
            }
        }
    }
}
