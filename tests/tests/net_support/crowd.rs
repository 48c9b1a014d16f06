//! Thousands of clients on one plain thread. Answers are taken and requests sent in the order in which the answers
//! come (edge-triggered epoll), so that what is uneven is the server's doing.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

const LEN: usize = 64;

/// Connections, each with at most one request under way.
#[derive(Debug)]
pub(crate) struct Crowd {
    streams: Vec<TcpStream>,
    /// Answers that each has got by `serve`.
    served: Vec<usize>,
    /// Answers to all, and how many they were when each sent its request.
    answers: usize,
    sent: Vec<usize>,
    /// See `waits`.
    waits: Vec<usize>,
    poller: OwnedFd,
}

impl Crowd {
    /// Connects to a server that listens on all local addresses: one address has too few ports for a crowd.
    pub(crate) fn connect(port: u16, connections: usize) -> Crowd {
        // SAFETY: no memory is passed, and the new descriptor is ours.
        let poller = unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(0)).unwrap()) };
        let streams: Vec<_> = (0..connections)
            .map(|number| {
                let address = Ipv4Addr::new(127, 0, 0, 1 + (number % 8) as u8);
                let stream = TcpStream::connect((address, port)).unwrap();
                stream.set_nodelay(true).unwrap();
                // Crowds come and go, and would leave crowds of ports that nobody can use for a minute.
                socket2::SockRef::from(&stream)
                    .set_linger(Some(Duration::ZERO))
                    .unwrap();
                let mut event = libc::epoll_event {
                    events: (libc::EPOLLIN | libc::EPOLLET) as u32,
                    u64: number as u64,
                };
                let (poller, stream_fd) = (poller.as_raw_fd(), stream.as_raw_fd());
                // SAFETY: the kernel reads a live `epoll_event`.
                let added =
                    unsafe { libc::epoll_ctl(poller, libc::EPOLL_CTL_ADD, stream_fd, &mut event) };
                check(added).unwrap();
                stream
            })
            .collect();
        Crowd {
            served: vec![0; streams.len()],
            answers: 0,
            sent: vec![0; streams.len()],
            waits: Vec::new(),
            streams,
            poller,
        }
    }

    /// Everybody sends a request.
    pub(crate) fn start(&mut self) {
        for stream in &mut self.streams {
            stream.write_all(&[1; LEN]).unwrap();
        }
    }

    /// Everybody gets one request answered.
    pub(crate) fn exchange(&mut self) {
        self.start();
        for stream in &mut self.streams {
            stream.read_exact(&mut [0; LEN]).unwrap();
        }
    }

    /// Takes so many answers, and sends the next request for each of them.
    pub(crate) fn serve(&mut self, answers: usize) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 256];
        let mut left = answers;
        while left > 0 {
            let room = events.len().min(left) as libc::c_int;
            let poller = self.poller.as_raw_fd();
            // SAFETY: the kernel writes at most `room` events to a live array of more.
            let n = unsafe { libc::epoll_wait(poller, events.as_mut_ptr(), room, -1) };
            if n < 0 {
                assert_eq!(
                    io::Error::last_os_error().kind(),
                    io::ErrorKind::Interrupted
                );
                continue;
            }
            for event in &events[..n as usize] {
                let number = event.u64 as usize;
                // An event of an answer that `exchange` has taken comes late.
                if self.has_answer(number) {
                    self.streams[number].write_all(&[1; LEN]).unwrap();
                    self.served[number] += 1;
                    self.answers += 1;
                    self.waits.push(self.answers - self.sent[number]);
                    self.sent[number] = self.answers;
                    left -= 1;
                }
            }
        }
    }

    fn has_answer(&mut self, number: usize) -> bool {
        let stream = &mut self.streams[number];
        let mut answer = [0; LEN];
        stream.set_nonblocking(true).unwrap();
        let first = stream.read(&mut answer);
        stream.set_nonblocking(false).unwrap();
        match first {
            Ok(0) => panic!("the server has closed connection {number}"),
            Ok(n) => {
                stream.read_exact(&mut answer[n..]).unwrap();
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                false
            }
        }
    }

    /// Answers that each has got by [`serve`](Self::serve).
    pub(crate) fn served(&self) -> &[usize] {
        &self.served
    }

    /// For each answer that was taken by [`serve`](Self::serve), its place among those that came after its request was
    /// sent, sorted: a latency, in answers. Taken in turn it is the number of connections.
    pub(crate) fn waits(&mut self) -> &[usize] {
        self.waits.sort_unstable();
        &self.waits
    }

    /// The latencies of so many exchanges of one of them after each other, sorted.
    pub(crate) fn latencies(&mut self, number: usize, exchanges: usize) -> Vec<Duration> {
        let stream = &mut self.streams[number];
        let mut latencies: Vec<_> = (0..exchanges)
            .map(|_| {
                let start = Instant::now();
                stream.write_all(&[1; LEN]).unwrap();
                stream.read_exact(&mut [0; LEN]).unwrap();
                start.elapsed()
            })
            .collect();
        latencies.sort_unstable();
        latencies
    }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
