//! The generators against servers of a few lines, right ones and wrong ones.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::*;

/// A server with a thread for each connection, which ends with the test.
fn server<F>(handle: F) -> Target
where
    F: Fn(usize, TcpStream) -> io::Result<()> + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::Tcp(listener.local_addr().unwrap());
    let handle = Arc::new(handle);
    thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let handle = handle.clone();
            // A client that fails leaves connections in all states.
            thread::spawn(move || handle(number, stream));
        }
    });
    target
}

fn back(mut stream: impl Read + Write) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count])?,
        }
    }
}

fn plan(target: Target, connections: usize, message: usize, depth: usize) -> EchoPlan {
    EchoPlan {
        target,
        connections,
        message,
        depth,
        rate: None,
        warmup: Duration::from_millis(20),
        duration: Duration::from_millis(200),
    }
}

/// Runs it with a hook that notes its moments, and looks at the result.
fn sound(run: impl FnOnce(Hook<'_>) -> io::Result<LoadResult>) -> LoadResult {
    let mut moments = Vec::new();
    let result = run(&mut |moment| {
        moments.push(moment);
        Ok(())
    })
    .unwrap();
    assert_eq!(moments, [Moment::Begin, Moment::End]);
    assert!(
        result.requests > 0 && result.requests <= result.total_requests,
        "{result:?}"
    );
    assert!(result.seconds >= 0.1, "{result:?}");
    assert_eq!(result.per_connection.iter().sum::<u64>(), result.requests);
    let Latency {
        p50,
        p90,
        p99,
        p999,
        max,
        ..
    } = result.latency;
    assert!(
        p50 > 0.0 && [p50, p90, p99, p999, max].is_sorted(),
        "{result:?}"
    );
    result
}

fn error(run: impl FnOnce(Hook<'_>) -> io::Result<LoadResult>) -> String {
    run(&mut |_| Ok(())).unwrap_err().to_string()
}

#[test]
fn ping_pong_streams_and_bulk() {
    let target = server(|_, stream| back(stream));
    for (connections, message, depth) in [
        (1, 1, 1),
        (3, 64, 1),
        (200, 64, 1),
        (2, 512, 16),
        (2, 64 << 10, 1),
        (2, 300_000, 3),
    ] {
        let plan = plan(target.clone(), connections, message, depth);
        let result = sound(|hook| echo(&plan, hook));
        assert_eq!(result.per_connection.len(), connections);
    }
}

#[test]
fn unix_sockets() {
    let path = std::env::temp_dir().join(format!("corio-bench-load-{}", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || back(stream));
        }
    });
    let target = Target::Unix(path.clone());
    sound(|hook| echo(&plan(target.clone(), 20, 64, 1), hook));
    sound(|hook| echo(&plan(target.clone(), 2, 64 << 10, 4), hook));
    let (warmup, duration) = (Duration::ZERO, Duration::from_millis(100));
    let churning = ChurnPlan {
        target,
        concurrency: 4,
        message: 64,
        warmup,
        duration,
    };
    sound(|hook| churn(&churning, hook));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn an_open_loop_asks_what_its_schedule_says() {
    let target = server(|_, stream| back(stream));
    let plan = EchoPlan {
        rate: Some(1000.0),
        ..plan(target, 7, 64, 1)
    };
    let result = sound(|hook| echo(&plan, hook));
    // 220 in 220 ms, more if the window begins late, and a greeting on each connection.
    assert!(result.total_requests >= 227, "{result:?}");
}

#[test]
fn an_open_loop_omits_nothing() {
    // The server takes a nap of 60 ms; a closed loop has one request or two that notice.
    let naps = || {
        let asked = AtomicUsize::new(0);
        server(move |_, mut stream| {
            let mut message = [0; 64];
            loop {
                stream.read_exact(&mut message)?;
                if asked.fetch_add(1, Relaxed) == 50 {
                    thread::sleep(Duration::from_millis(60));
                }
                stream.write_all(&message)?;
            }
        })
    };
    let warmup = Duration::ZERO;
    let open = EchoPlan {
        rate: Some(1000.0),
        warmup,
        duration: Duration::from_millis(100),
        ..plan(naps(), 1, 64, 1)
    };
    let result = sound(|hook| echo(&open, hook));
    // Of 100 requests 60 were due while it slept, and waited for half of it or more in the mean.
    assert!(result.latency.mean > 15_000.0, "{result:?}");
    assert!(result.latency.p50 > 5_000.0, "{result:?}");
    assert!(result.total_requests >= 101, "{result:?}");
}

#[test]
fn a_server_that_does_not_catch_up_is_given_up() {
    let target = server(|_, mut stream| {
        let mut message = [0; 64];
        loop {
            stream.read_exact(&mut message)?;
            thread::sleep(Duration::from_millis(20));
            stream.write_all(&message)?;
        }
    });
    let plan = EchoPlan {
        rate: Some(20_000.0),
        ..plan(target, 1, 64, 1)
    };
    let result = sound(|hook| echo(&plan, hook));
    assert!(result.total_requests < 1000, "{result:?}");
    assert!(result.latency.p50 > 2_900_000.0, "{result:?}");
}

#[test]
fn a_wrong_byte_is_found() {
    let target = server(|number, mut stream| {
        let mut message = [0; 64];
        for round in 0.. {
            stream.read_exact(&mut message)?;
            if number == 1 && round == 3 {
                message[9] ^= 0x10;
            }
            stream.write_all(&message)?;
        }
        Ok(())
    });
    let error = error(|hook| echo(&plan(target, 2, 64, 1), hook));
    assert!(
        error.contains("connection 1: wrong answer: byte 201 is"),
        "{error}"
    );
}

#[test]
fn answers_to_others_are_found() {
    // Each connection gets what the one before it sent.
    let last = Mutex::new([0; 64]);
    let target = server(move |_, mut stream| {
        let mut message = [0; 64];
        loop {
            stream.read_exact(&mut message)?;
            std::mem::swap(&mut message, &mut *last.lock().unwrap());
            stream.write_all(&message)?;
        }
    });
    let error = error(|hook| echo(&plan(target, 2, 64, 1), hook));
    assert!(error.contains("wrong answer"), "{error}");
}

#[test]
fn more_than_was_asked_for_is_found() {
    let target = server(|_, mut stream| {
        let mut message = [0; 64];
        stream.read_exact(&mut message)?;
        stream.write_all(&[message, message].concat())?;
        back(stream)
    });
    let error = error(|hook| echo(&plan(target, 1, 64, 1), hook));
    assert!(error.contains("wrong answer"), "{error}");
}

#[test]
fn an_end_is_found() {
    let target = server(|_, mut stream| {
        let mut message = [0; 64];
        for _ in 0..10 {
            stream.read_exact(&mut message)?;
            stream.write_all(&message)?;
        }
        Ok(())
    });
    let found = error(|hook| echo(&plan(target.clone(), 3, 64, 1), hook));
    assert!(found.contains("the server has closed"), "{found}");
    let closing = server(|_, _| Ok(()));
    let (warmup, duration) = (Duration::ZERO, Duration::from_millis(100));
    let churning = ChurnPlan {
        target: closing,
        concurrency: 2,
        message: 64,
        warmup,
        duration,
    };
    error(|hook| churn(&churning, hook));
}

#[test]
fn silence_is_found() {
    // It answers once, so that the greeting is over.
    let target = server(|_, mut stream| {
        let mut message = [0; 64];
        stream.read_exact(&mut message)?;
        stream.write_all(&message)?;
        loop {
            if stream.read(&mut message)? == 0 {
                return Ok(());
            }
        }
    });
    thread::scope(|scope| {
        for rate in [None, Some(100.0)] {
            let plan = EchoPlan {
                rate,
                ..plan(target.clone(), 2, 64, 1)
            };
            scope.spawn(move || {
                let error = error(|hook| echo(&plan, hook));
                assert!(error.contains("silence for 10s after 0 answers"), "{error}");
            });
        }
        let plan = ChurnPlan {
            target: target.clone(),
            concurrency: 2,
            message: 65,
            warmup: Duration::ZERO,
            duration: Duration::from_millis(100),
        };
        scope.spawn(move || {
            let error = error(|hook| churn(&plan, hook));
            assert!(
                error.contains("silence for 10s on 2 connections"),
                "{error}"
            );
        });
    });
}

#[test]
fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::Tcp(listener.local_addr().unwrap());
    drop(listener);
    let found = error(|hook| echo(&plan(target.clone(), 1, 64, 1), hook));
    assert!(found.contains("refused"), "{found}");
    let (warmup, duration) = (Duration::ZERO, Duration::from_millis(100));
    let churning = ChurnPlan {
        target,
        concurrency: 2,
        message: 64,
        warmup,
        duration,
    };
    let found = error(|hook| churn(&churning, hook));
    assert!(found.contains("refused"), "{found}");
}

#[test]
fn churning() {
    let target = server(|_, stream| back(stream));
    for message in [1, 64, 200_000] {
        let (warmup, duration) = (Duration::from_millis(20), Duration::from_millis(100));
        let target = target.clone();
        let plan = ChurnPlan {
            target,
            concurrency: 8,
            message,
            warmup,
            duration,
        };
        sound(|hook| churn(&plan, hook));
    }
}

#[test]
fn idling() {
    let served = Arc::new(AtomicUsize::new(0));
    let count = served.clone();
    let target = server(move |_, stream| {
        count.fetch_add(1, Relaxed);
        back(stream)
    });
    let hold = Duration::from_millis(100);
    for message in [0, 64] {
        let plan = IdlePlan {
            target: target.clone(),
            connections: 100,
            message,
            hold,
        };
        let mut moments = Vec::new();
        idle(&plan, &mut |moment| {
            moments.push(moment);
            Ok(())
        })
        .unwrap();
        assert_eq!(moments, [Moment::Begin, Moment::End]);
    }
    let closing = server(|_, _| Ok(()));
    let plan = IdlePlan {
        target: closing,
        connections: 3,
        message: 0,
        hold,
    };
    let error = idle(&plan, &mut |_| Ok(())).unwrap_err();
    assert!(error.to_string().contains("not idle"), "{error}");
    assert!(served.load(Relaxed) >= 100);
}

#[test]
fn hypertext() {
    let target = server(|_, mut stream| {
        let mut text = Vec::new();
        loop {
            let mut buffer = [0; 1000];
            let count = stream.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            text.extend_from_slice(&buffer[..count]);
            while let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n") {
                text.drain(..end + 4);
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, World!")?;
            }
        }
    });
    for (depth, rate) in [(1, None), (16, None), (1, Some(1000.0))] {
        let plan = HttpPlan {
            target: target.clone(),
            connections: 3,
            depth,
            rate,
            warmup: Duration::from_millis(20),
            duration: Duration::from_millis(100),
        };
        sound(|hook| http(&plan, hook));
    }
}
