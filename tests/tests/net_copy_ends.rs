//! A copy ends as single reads and writes would: by deadlines, `close`, resets.

mod copy_support;
mod net_support;

use copy_support::*;
use corio_net::{PipeWriter, TcpStream, copy, pipe};
use net_support::*;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
}

#[test]
fn deadlines_of_both_ends_apply() {
    everywhere(|cast| {
        // The source's.
        let (from, mut feed) = pair();
        let (to, mut end) = pair();
        feed.write_all(b"head").unwrap();
        from.set_read_deadline(after(SHORT)).unwrap();
        let start = Instant::now();
        assert_timed_out(copy(&from, &to));
        assert!(start.elapsed() >= SHORT);
        let mut four = [0; 4];
        end.read_exact(&mut four).unwrap();
        assert_eq!(&four, b"head");
        // It is passed for whatever comes next, until it is moved: nothing is taken from the source.
        feed.write_all(b"next").unwrap();
        assert_timed_out(copy(&from, &to));
        from.set_read_deadline(None).unwrap();
        drop(feed);
        assert_eq!(copy(&from, &to).unwrap(), 4);
        end.read_exact(&mut four).unwrap();
        assert_eq!(&four, b"next");

        // The destination's, while its peer does not read. A file loses nothing by that.
        let content = content(18 << 20);
        let from = file(&content);
        to.set_write_deadline(after(SHORT)).unwrap();
        assert_timed_out(copy(&from, &to));
        assert_timed_out(copy(&from, &to));
        to.set_write_deadline(None).unwrap();
        let collecting = cast.spawn(drain(end));
        copy(&from, &to).unwrap();
        drop(to);
        assert_same(&collecting.join(), &content, "after a time-out");
    });
}

#[test]
fn a_deadline_set_meanwhile_ends_a_copy() {
    everywhere(|cast| {
        for round in 0..8 {
            let (from, _feed) = pair();
            let (to, _end) = pair();
            let (from, to) = (Arc::new(from), Arc::new(to));
            let blocked_writing = round % 2 == 0;
            if blocked_writing {
                fill(&to);
            }
            let copying = cast.spawn({
                let (from, to) = (Arc::clone(&from), Arc::clone(&to));
                move || {
                    if blocked_writing {
                        copy(&file(&[1; 10 << 20]), &to)
                    } else {
                        copy(&from, &to)
                    }
                }
            });
            pause(round / 2);
            if blocked_writing {
                to.set_write_deadline(Some(Instant::now())).unwrap();
            } else {
                from.set_read_deadline(Some(Instant::now())).unwrap();
            }
            assert_timed_out(copying.join());
        }
    });
}

#[test]
fn close_of_either_end_ends_a_copy() {
    everywhere(|cast| {
        for round in 0..12 {
            let (from, mut feed) = pair();
            let (to, end) = pair();
            let (from, to) = (Arc::new(from), Arc::new(to));
            let stuck = round % 3 == 0;
            let feeding = cast.spawn(move || {
                if stuck {
                    // More than all buffers on the way hold: the copy waits for its destination.
                    let _ = feed.write_all(&vec![1; 30 << 20]);
                }
                feed
            });
            let copying = cast.spawn({
                let (from, to) = (Arc::clone(&from), Arc::clone(&to));
                move || copy(&*from, &*to)
            });
            pause(round / 3);
            match round % 3 {
                0 | 1 => to.close().unwrap(),
                _ => from.close().unwrap(),
            }
            if round % 3 == 1 {
                // It waits for its source and notices with the next piece. (Or it has, if there was none.)
                drop(end);
                from.close().unwrap();
            }
            assert_closed(copying.join());
            drop((from, to));
            feeding.join();
        }
    });
}

/// Makes dropping the stream reset the connection.
fn reset(stream: TcpStream) {
    stream.set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn resets_are_reported() {
    everywhere(|cast| {
        // Of the source.
        let (from, mut feed) = pair();
        let (to, mut end) = pair();
        let copying = cast.spawn(move || copy(&from, &to));
        feed.write_all(b"some").unwrap();
        end.read_exact(&mut [0; 4]).unwrap();
        reset(feed);
        assert_kind(copying.join(), ErrorKind::ConnectionReset);

        // Of the destination, in the middle.
        for from in KINDS {
            let content = Arc::new(content(1 << 20));
            let (source, feeding) = match from {
                "file" => source(cast, from, &Arc::new(vec![1; 30 << 20])),
                _ => {
                    let (ours, theirs) = pair();
                    let content = Arc::clone(&content);
                    let feeding =
                        cast.spawn(move || while (&theirs).write_all(&content).is_ok() {});
                    (Box::new(ours) as Source, Some(feeding))
                }
            };
            let (to, mut end) = pair();
            let copying = cast.spawn(move || copy(&source, &to));
            end.read_exact(&mut vec![0; 300_000]).unwrap();
            reset(end);
            let error = copying.join().unwrap_err();
            assert!(
                matches!(
                    error.kind(),
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
                ),
                "{error:?}"
            );
            if let Some(feeding) = feeding {
                feeding.join();
            }
        }

        // A pipe's reader.
        let (reader, writer): (_, PipeWriter) = pipe().unwrap();
        drop(reader);
        assert_kind(copy(&file(b"x"), &writer), ErrorKind::BrokenPipe);
    });
}

#[test]
fn copies_that_cross_do_not_wait_for_each_other() {
    everywhere(|cast| {
        const LEN: usize = 2 << 20;
        // a to b and b to a at once, several of each, all through the same two streams.
        let (a, their_a) = pair();
        let (b, their_b) = pair();
        let (a, b) = (Arc::new(a), Arc::new(b));
        let copies: Vec<_> = (0..6)
            .map(|number| {
                let (a, b) = (Arc::clone(&a), Arc::clone(&b));
                cast.spawn(move || {
                    if number % 2 == 0 {
                        copy(&a, &b).unwrap()
                    } else {
                        copy(&b, &a).unwrap()
                    }
                })
            })
            .collect();
        let (their_a, their_b) = (Arc::new(their_a), Arc::new(their_b));
        let ends: Vec<_> = [&their_a, &their_b]
            .into_iter()
            .map(|end| {
                let end = Arc::clone(end);
                cast.spawn(move || {
                    (&*end).write_all(&vec![7; LEN]).unwrap();
                    end.shutdown(Shutdown::Write).unwrap();
                })
            })
            .collect();
        for end in [&their_a, &their_b] {
            skip(&**end, LEN);
        }
        for end in ends {
            end.join();
        }
        let copied: u64 = copies.into_iter().map(Task::join).sum();
        assert_eq!(copied, 2 * LEN as u64);
    });
}

/// Urgent data is passed over, as reading does, and what follows it is copied. `splice` would stop there: it
/// says that there is nothing, or that this is the end.
#[test]
fn what_follows_urgent_data_is_copied() {
    everywhere(|cast| {
        for round in 0..16 {
            let (from, mut feed) = pair();
            let (to, mut end) = pair();
            let send = move || {
                feed.write_all(b"before").unwrap();
                let urgent = socket2::SockRef::from(&feed).send_out_of_band(b"!");
                assert_eq!(urgent.unwrap(), 1);
                feed.write_all(b"after").unwrap();
                pause(round / 2);
                drop(feed);
            };
            let copy = move || copy(&from, &to);
            // All of it is there before, or comes meanwhile.
            let copying = if round % 2 == 0 {
                send();
                cast.spawn(copy)
            } else {
                let copying = cast.spawn(copy);
                pause(round / 2);
                send();
                copying
            };
            assert_eq!(copying.join().unwrap(), 11);
            let mut got = Vec::new();
            end.read_to_end(&mut got).unwrap();
            assert_eq!(got, b"beforeafter");
        }
    });
}
