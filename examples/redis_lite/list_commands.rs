//! The commands on lists, and how a client waits for an element.

use std::io::Read;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use corio::channel::{Receiver, after, bounded, never};
use corio::select;
use corio_net::with_context;

use crate::client::Client;
use crate::commands::{Failure, Outcome, number, wrong_number};
use crate::lists::{Popped, Side, Wait};
use crate::reply;
use crate::resp::Args;

/// As much of what a waiting client sends is read ahead.
const AHEAD: usize = 16 * 1024;

pub(crate) fn lpush(client: &mut Client<'_>, args: Args<'_>) -> Outcome {
    push(client, args, Side::Left)
}

pub(crate) fn rpush(client: &mut Client<'_>, args: Args<'_>) -> Outcome {
    push(client, args, Side::Right)
}

pub(crate) fn lpop(client: &mut Client<'_>, args: Args<'_>) -> Outcome {
    pop(client, args, Side::Left)
}

pub(crate) fn rpop(client: &mut Client<'_>, args: Args<'_>) -> Outcome {
    pop(client, args, Side::Right)
}

pub(crate) fn blpop(client: &mut Client<'_>, args: Args<'_>) -> Outcome {
    pop_or_wait(client, args, Side::Left)
}

pub(crate) fn brpop(client: &mut Client<'_>, args: Args<'_>) -> Outcome {
    pop_or_wait(client, args, Side::Right)
}

pub(crate) fn llen(client: &mut Client<'_>, args: Args<'_>) -> Outcome {
    let length = client.shared.store.list_len(args.at(1), client.now)?;
    reply::count(&mut client.out, length);
    Ok(())
}

pub(crate) fn lrange(client: &mut Client<'_>, args: Args<'_>) -> Outcome {
    let (start, stop) = (number(args.at(2))?, number(args.at(3))?);
    let (store, out) = (&client.shared.store, &mut client.out);
    store.range(args.at(1), start, stop, client.now, |elements| {
        reply::array(out, elements.len());
        elements.for_each(|element| reply::bulk(out, element));
    })?;
    Ok(())
}

fn push(client: &mut Client<'_>, args: Args<'_>, side: Side) -> Outcome {
    let elements = args.from(2).iter();
    let store = &client.shared.store;
    let length = store.push(args.at(1), side, elements, client.now)?;
    reply::count(&mut client.out, length);
    Ok(())
}

fn pop(client: &mut Client<'_>, args: Args<'_>, side: Side) -> Outcome {
    let (store, out) = (&client.shared.store, &mut client.out);
    let Some(count) = args.get(2) else {
        match store.pop(args.at(1), side, client.now)? {
            Some(element) => reply::bulk(out, &element),
            None => reply::null(out),
        }
        return Ok(());
    };
    if args.len() > 3 {
        let name = if side == Side::Left { "lpop" } else { "rpop" };
        return Err(wrong_number(name));
    }
    let count = number(count).ok().and_then(|n| usize::try_from(n).ok());
    let count = count.ok_or("ERR value is out of range, must be positive")?;
    match store.pop_many(args.at(1), side, count, client.now)? {
        Some(elements) => {
            reply::array(out, elements.len());
            elements
                .iter()
                .for_each(|element| reply::bulk(out, element));
        }
        None => reply::null_array(out),
    }
    Ok(())
}

fn pop_or_wait(client: &mut Client<'_>, args: Args<'_>, side: Side) -> Outcome {
    let timeout = timeout(args.at(args.len() - 1))?;
    let keys = args.from(1).without_last(1).iter();
    let store = &client.shared.store;
    let popped = match store.pop_or_wait(keys.clone(), side, client.now)? {
        Wait::Popped(popped) => Some(popped),
        Wait::Queued(waiter, received) => {
            client.shared.blocked.fetch_add(1, Relaxed);
            let end = wait(client, &received, timeout);
            client.shared.blocked.fetch_sub(1, Relaxed);
            // Time has gone on.
            client.now = Instant::now();
            // One may have come in the last moment.
            let late = store.forget(keys, &waiter, &received, client.now);
            let popped = end.popped.or(late);
            if end.gone {
                if let Some(popped) = popped {
                    store.give_back(popped, side, client.now);
                }
                client.quit = true;
                return Ok(());
            }
            popped
        }
    };
    let Some(popped) = popped else {
        reply::null_array(&mut client.out);
        return Ok(());
    };
    reply::array(&mut client.out, 2);
    reply::bulk(&mut client.out, &popped.0);
    reply::bulk(&mut client.out, &popped.1);
    // If it cannot be written, the element is not lost.
    client.flush().map_err(|error| {
        store.give_back(popped, side, client.now);
        Failure::Io(error)
    })
}

/// Seconds, 0 for ever: `None`.
fn timeout(text: &[u8]) -> Result<Option<Duration>, Failure> {
    let no_float = "ERR timeout is not a float or out of range";
    let text = str::from_utf8(text).map_err(|_| no_float)?;
    let seconds: f64 = text.parse().map_err(|_| no_float)?;
    if seconds < 0.0 {
        return Err("ERR timeout is negative".into());
    }
    let timeout = Duration::try_from_secs_f64(seconds).map_err(|_| no_float)?;
    Ok((!timeout.is_zero()).then_some(timeout))
}

/// How a wait has ended; if there is neither, its time was over.
struct End {
    popped: Option<Popped>,
    /// The client is, or the server is to end.
    gone: bool,
}

/// Waits for an element, the time limit, or the client's end, which only reading tells: what the client sends
/// meanwhile is kept for later.
fn wait(client: &mut Client<'_>, received: &Receiver<Popped>, timeout: Option<Duration>) -> End {
    // Answers to what was asked before have waited long enough.
    if client.flush().is_err() {
        let (popped, gone) = (None, true);
        return End { popped, gone };
    }
    let Client {
        conn,
        ahead,
        shared,
        ..
    } = client;
    let conn = *conn;
    // Who waits is not idle. If it fails, so will the reading.
    let _ = conn
        .set_read_timeout(None)
        .and(conn.set_read_deadline(None));
    let (ctx, cancel) = conn.context().with_cancel();
    let (gone, is_gone) = bounded(1);
    let late = timeout.map_or_else(never, after);
    corio::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut chunk = [0; 1024];
            while ahead.len() < AHEAD {
                match with_context(&ctx, conn, |mut conn| conn.read(&mut chunk)) {
                    Ok(n @ 1..) => ahead.extend_from_slice(&chunk[..n]),
                    // By the end of the wait, or of the server.
                    Err(_) if ctx.err().is_some() => return,
                    _ => {
                        // It has room for one.
                        let _ = gone.try_send(());
                        return;
                    }
                }
            }
        });
        let (popped, mut over) = select! {
            recv(received) -> popped => (popped.ok(), false),
            recv(is_gone) -> _ => (None, true),
            recv(conn.context().done()) -> _ => (None, true),
            recv(late) -> _ => (None, false),
        };
        cancel.cancel();
        // It does not panic.
        let _ = reader.join();
        over |= is_gone.try_recv().is_ok();
        let _ = conn.set_read_timeout(shared.timeout);
        End { popped, gone: over }
    })
}
