//! `Pollable` parks on whatever can be polled, and says so if something can't.

mod net_support;

use corio_net::{Interest, Pollable};
use net_support::*;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
}

/// What a system call has made.
fn made(fd: i32) -> File {
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: a new descriptor, of which nobody else knows.
    unsafe { File::from_raw_fd(fd) }
}

fn eventfd() -> File {
    // SAFETY: a system call without pointers.
    made(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })
}

fn add(mut counter: &File, n: u64) {
    counter.write_all(&n.to_ne_bytes()).unwrap();
}

fn take(mut counter: &File) -> io::Result<u64> {
    let mut bytes = [0; 8];
    counter.read_exact(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

#[test]
fn an_eventfd() {
    everywhere(|cast| {
        let counter = Arc::new(Pollable::new(eventfd()).unwrap());
        for round in 0..40 {
            let adding = cast.spawn({
                let counter = Arc::clone(&counter);
                move || {
                    pause(round);
                    add(counter.get_ref(), 3);
                }
            });
            if round % 2 == 0 {
                counter.wait_readable().unwrap();
                counter.wait_readable().unwrap();
            }
            let n = counter.try_io(Interest::Readable, take).unwrap();
            assert_eq!(n, 3);
            adding.join();
        }
        // Full: writing waits, and the other direction is not in its way.
        add(counter.get_ref(), u64::MAX - 1);
        counter.set_write_deadline(after(SHORT)).unwrap();
        assert_timed_out(counter.wait_writable());
        counter.set_write_deadline(None).unwrap();
        let adding = cast.spawn({
            let counter = Arc::clone(&counter);
            move || {
                counter.try_io(Interest::Writable, |mut file| {
                    file.write(&1_u64.to_ne_bytes())
                })
            }
        });
        assert_eq!(
            counter.try_io(Interest::Readable, take).unwrap(),
            u64::MAX - 1
        );
        assert_eq!(adding.join().unwrap(), 8);
    });
}

#[test]
fn a_timerfd() {
    everywhere(|_| {
        // SAFETY: a system call without pointers.
        let timer = made(unsafe {
            libc::timerfd_create(
                libc::CLOCK_MONOTONIC,
                libc::TFD_CLOEXEC | libc::TFD_NONBLOCK,
            )
        });
        let start = Instant::now();
        let time = libc::itimerspec {
            it_interval: libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: libc::timespec {
                tv_sec: 0,
                tv_nsec: 15_000_000,
            },
        };
        // SAFETY: the pointer is to a live value; the old one is not asked for.
        let set =
            unsafe { libc::timerfd_settime(timer.as_raw_fd(), 0, &time, std::ptr::null_mut()) };
        assert_eq!(set, 0);
        let timer = Pollable::new(timer).unwrap();
        assert_eq!(timer.try_io(Interest::Readable, take).unwrap(), 1);
        assert!(start.elapsed() >= SHORT);
    });
}

#[test]
fn inotify() {
    everywhere(|cast| {
        let directory = std::env::temp_dir().join(format!(
            "corio-pollable-{}-{:?}",
            std::process::id(),
            Instant::now()
        ));
        std::fs::create_dir(&directory).unwrap();
        // SAFETY: the path ends with a zero.
        let watch = unsafe {
            let watch = made(libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK));
            let path = std::ffi::CString::new(directory.to_str().unwrap()).unwrap();
            assert!(
                libc::inotify_add_watch(watch.as_raw_fd(), path.as_ptr(), libc::IN_CREATE) >= 0
            );
            watch
        };
        let mut watch = Pollable::new(watch).unwrap();
        let creating = cast.spawn({
            let path = directory.join("created");
            move || File::create(path).unwrap()
        });
        let mut event = [0; 1024];
        let n = watch.read(&mut event).unwrap();
        let name = b"created";
        assert!(event[..n].windows(name.len()).any(|window| window == name));
        creating.join();
        std::fs::remove_dir_all(&directory).unwrap();
    });
}

#[test]
fn a_terminal() {
    everywhere(|cast| {
        // SAFETY: system calls without pointers; the name is copied before it can change.
        let (master, slave) = unsafe {
            let master = made(libc::posix_openpt(
                libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC,
            ));
            assert_eq!(libc::unlockpt(master.as_raw_fd()), 0);
            let slave = made(libc::ioctl(
                master.as_raw_fd(),
                libc::TIOCGPTPEER,
                libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC,
            ));
            (master, slave)
        };
        let terminal = Pollable::nonblocking(slave).unwrap();
        let mut keyboard = Pollable::nonblocking(master).unwrap();
        let typing = cast.spawn(move || {
            keyboard.write_all(b"typed\n").unwrap();
            keyboard
        });
        let mut line = [0; 64];
        let n = (&terminal).read(&mut line).unwrap();
        assert_eq!(&line[..n], b"typed\n");
        let mut keyboard = typing.join();
        (&terminal).write_all(b"shown").unwrap();
        let mut shown = String::new();
        while !shown.ends_with("shown") {
            let n = keyboard.read(&mut line).unwrap();
            shown.push_str(std::str::from_utf8(&line[..n]).unwrap());
        }
        assert_eq!(shown, "typed\r\nshown");
    });
}

#[test]
fn sockets_of_others_and_their_own_operations() {
    everywhere(|cast| {
        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = ours.local_addr().unwrap();
        let ours = Pollable::nonblocking(ours).unwrap();
        let sending = cast.spawn(move || {
            let theirs = UdpSocket::bind("127.0.0.1:0").unwrap();
            for number in 0..20 {
                theirs.send_to(&[number], addr).unwrap();
            }
            theirs.local_addr().unwrap()
        });
        let mut byte = [0];
        for number in 0..20 {
            let (n, from) = ours
                .try_io(Interest::Readable, |socket| socket.recv_from(&mut byte))
                .unwrap();
            assert_eq!((n, byte[0]), (1, number));
            assert_eq!(from.ip(), addr.ip());
        }
        sending.join();
        let socket = ours.into_inner();
        assert_eq!(socket.local_addr().unwrap(), addr);
    });
}

#[test]
fn read_and_write_through_it() {
    everywhere(|cast| {
        const LEN: usize = 1 << 20;
        let (ours, theirs) = UnixStream::pair().unwrap();
        let ours = Arc::new(Pollable::nonblocking(ours).unwrap());
        let mut theirs = Pollable::nonblocking(theirs).unwrap();
        let writing = cast.spawn({
            let ours = Arc::clone(&ours);
            move || {
                (&*ours).write_all(&vec![5; LEN]).unwrap();
                (&*ours).flush().unwrap();
                ours.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
            }
        });
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).unwrap();
        assert!(got.len() == LEN && got.iter().all(|&b| b == 5));
        writing.join();
        theirs.write_all(b"back").unwrap();
        let mut back = [0; 4];
        (&*ours).read_exact(&mut back).unwrap();
        assert_eq!(&back, b"back");
        assert_eq!(theirs.get_mut().as_raw_fd(), theirs.as_fd().as_raw_fd());
    });
}

#[test]
fn deadlines_and_close_end_waiting() {
    everywhere(|cast| {
        for round in 0..16 {
            let counter = Arc::new(Pollable::new(eventfd()).unwrap());
            let calls: Vec<_> = (0..4)
                .map(|number| {
                    let counter = Arc::clone(&counter);
                    cast.spawn(move || match number % 2 {
                        0 => counter.wait_readable(),
                        _ => counter.try_io(Interest::Readable, take).map(drop),
                    })
                })
                .collect();
            pause(round / 2);
            if round % 2 == 0 {
                counter.set_deadline(Some(Instant::now())).unwrap();
                for call in calls {
                    assert_timed_out(call.join());
                }
                // Without a try.
                add(counter.get_ref(), 1);
                assert_timed_out(counter.try_io(Interest::Readable, take));
                counter.set_deadline(None).unwrap();
                assert_eq!(counter.try_io(Interest::Readable, take).unwrap(), 1);
            } else {
                counter.close().unwrap();
                for call in calls {
                    assert_closed(call.join());
                }
                assert_closed(counter.try_io(Interest::Writable, |_| -> io::Result<()> {
                    unreachable!("not tried after close")
                }));
                assert_closed(counter.close());
                assert_closed(counter.set_deadline(None));
                // The value is as it was.
                add(counter.get_ref(), 2);
                assert_eq!(take(counter.get_ref()).unwrap(), 2);
                assert!(format!("{counter:?}").contains("closed: true"));
            }
        }
    });
}

#[test]
fn files_are_refused_with_a_reason() {
    everywhere(|_| {
        let path = std::env::current_exe().unwrap();
        for file in [File::open(&path).unwrap(), File::open("/").unwrap()] {
            let error = Pollable::new(file).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains("corio::blocking"), "{error}");
        }
    });
}

#[test]
fn many_wait_for_one_descriptor() {
    everywhere(|cast| {
        const EACH: u64 = 50;
        // A semaphore: each read takes one.
        // SAFETY: a system call without pointers.
        let semaphore = made(unsafe {
            libc::eventfd(
                0,
                libc::EFD_CLOEXEC | libc::EFD_NONBLOCK | libc::EFD_SEMAPHORE,
            )
        });
        let semaphore = Arc::new(Pollable::new(semaphore).unwrap());
        let tasks: Vec<_> = (0..6)
            .map(|_| {
                let semaphore = Arc::clone(&semaphore);
                cast.spawn(move || {
                    for _ in 0..EACH {
                        assert_eq!(semaphore.try_io(Interest::Readable, take).unwrap(), 1);
                    }
                })
            })
            .collect();
        for round in 0..6 * EACH {
            add(semaphore.get_ref(), 1);
            if round % 50 == 0 {
                pause((round / 50) as usize);
            }
        }
        for task in tasks {
            task.join();
        }
        semaphore.set_read_deadline(Some(Instant::now())).unwrap();
        assert_timed_out(semaphore.wait_readable());
    });
}

#[test]
fn the_operation_may_do_anything() {
    everywhere(|_| {
        // Wait, use the same one, close it.
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let ours = Arc::new(Pollable::nonblocking(ours).unwrap());
        theirs.write_all(b"abc").unwrap();
        let n = ours
            .try_io(Interest::Readable, |mut stream| {
                corio::sleep(Duration::from_millis(1));
                ours.try_io(Interest::Readable, |mut same| same.read(&mut [0]))?;
                ours.wait_readable()?;
                let n = stream.read(&mut [0; 8])?;
                ours.close()?;
                Ok(n)
            })
            .unwrap();
        assert_eq!(n, 2);
        assert_closed(ours.wait_readable());

        // Panic: it goes on.
        let counter = Arc::new(Pollable::new(eventfd()).unwrap());
        let caught = std::panic::catch_unwind({
            let counter = Arc::clone(&counter);
            move || {
                let _ = counter.try_io(Interest::Readable, |_| -> io::Result<()> {
                    std::panic::resume_unwind(Box::new("operation"))
                });
            }
        });
        assert!(caught.is_err());
        add(counter.get_ref(), 1);
        assert_eq!(counter.try_io(Interest::Readable, take).unwrap(), 1);
    });
}

#[test]
fn interrupted_calls_are_repeated_and_other_errors_returned() {
    let counter = Pollable::new(eventfd()).unwrap();
    let calls = AtomicUsize::new(0);
    let result = counter.try_io(Interest::Writable, |_| {
        match calls.fetch_add(1, Ordering::Relaxed) {
            0 => Err::<(), _>(ErrorKind::Interrupted.into()),
            // It is writable all the while: asked again at once.
            1 => Err(ErrorKind::WouldBlock.into()),
            _ => Err(ErrorKind::InvalidData.into()),
        }
    });
    assert_kind(result, ErrorKind::InvalidData);
    assert_eq!(calls.into_inner(), 3);
}

/// A value that says something else each time, and gives its descriptor away.
struct Liar {
    first: Option<OwnedFd>,
    second: OwnedFd,
    lies: AtomicBool,
}

impl AsFd for Liar {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.first {
            Some(first) if !self.lies.swap(true, Ordering::Relaxed) => first.as_fd(),
            _ => self.second.as_fd(),
        }
    }
}

#[test]
fn the_descriptor_that_counts_is_the_first_one() {
    everywhere(|_| {
        let counter = eventfd();
        let mut liar = Pollable::new(Liar {
            first: Some(counter.try_clone().unwrap().into()),
            second: eventfd().into(),
            lies: AtomicBool::new(false),
        })
        .unwrap();
        add(&counter, 1);
        liar.wait_readable().unwrap();
        take(&counter).unwrap();
        // The value closes it, and its number is given to others.
        drop(liar.get_mut().first.take());
        let others: Vec<_> = (0..20).map(|_| eventfd()).collect();
        for other in &others {
            add(other, 1);
        }
        liar.set_read_deadline(after(SHORT)).unwrap();
        assert_timed_out(liar.wait_readable());
        liar.set_read_deadline(None).unwrap();
        add(&counter, 1);
        liar.wait_readable().unwrap();
        liar.close().unwrap();
        drop(liar);
        for other in &others {
            assert_eq!(take(other).unwrap(), 1);
        }
    });
}

#[test]
fn dropping_it_gives_the_descriptors_back() {
    everywhere(|_| {
        // The peer sees the end only when all descriptors of ours are closed.
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let ours = Pollable::new(ours).unwrap();
        let inner = ours.into_inner();
        drop(inner);
        assert_eq!(theirs.read(&mut [0]).unwrap(), 0);

        // The same open file can be watched again, and twice.
        let counter = eventfd();
        for _ in 0..3 {
            let one = Pollable::new(&counter).unwrap();
            let two = Pollable::new(&counter).unwrap();
            add(&counter, 1);
            one.wait_readable().unwrap();
            two.wait_readable().unwrap();
            take(&counter).unwrap();
        }
    });
}
