//! The table of commands, and those on keys and strings.

use std::borrow::Cow;
use std::fmt::Write;
use std::io;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::resp::{Args, integer};
use crate::store::{Error, Only, Ttl};
use crate::{admin, list_commands as lists, pubsub, reply};

/// Why a command has not appended a reply.
pub(crate) enum Failure {
    /// It is to be this error.
    Reply(Cow<'static, str>),
    /// Nobody is left to be told.
    Io(io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Reply(Cow::Owned(error.to_string()))
    }
}

impl From<&'static str> for Failure {
    fn from(text: &'static str) -> Failure {
        Failure::Reply(Cow::Borrowed(text))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Io(error)
    }
}

pub(crate) type Outcome = Result<(), Failure>;
type Run = fn(&mut Client<'_>, Args<'_>) -> Outcome;

/// A command; what it does, and what `COMMAND` says about it.
pub(crate) struct Command {
    /// In lower case.
    pub(crate) name: &'static str,
    /// How many arguments it takes, its name included; a negative number is the least.
    pub(crate) arity: i8,
    pub(crate) flags: &'static [&'static str],
    /// The first and last argument that is a key, and their distance; 0: none.
    pub(crate) keys: (i8, i8, i8),
    /// Is it allowed after SUBSCRIBE?
    subscribed: bool,
    run: Run,
}

const fn command(
    name: &'static str,
    arity: i8,
    flags: &'static [&'static str],
    keys: (i8, i8, i8),
    run: Run,
) -> Command {
    Command {
        name,
        arity,
        flags,
        keys,
        subscribed: false,
        run,
    }
}

const fn always(
    name: &'static str,
    arity: i8,
    flags: &'static [&'static str],
    run: Run,
) -> Command {
    Command {
        subscribed: true,
        ..command(name, arity, flags, NONE, run)
    }
}

const READ: &[&str] = &["readonly", "fast"];
const WRITE: &[&str] = &["write", "denyoom", "fast"];
const REMOVE: &[&str] = &["write", "fast"];
const BLOCKING: &[&str] = &["write", "blocking"];
const PUBSUB: &[&str] = &["pubsub", "loading", "stale"];
const FAST: &[&str] = &["fast"];
const ADMIN: &[&str] = &["loading", "stale"];
const NONE: (i8, i8, i8) = (0, 0, 0);
const FIRST: (i8, i8, i8) = (1, 1, 1);
const ALL: (i8, i8, i8) = (1, -1, 1);
const ALL_BUT_LAST: (i8, i8, i8) = (1, -2, 1);

/// Those that are asked for most stand first.
pub(crate) const COMMANDS: &[Command] = &[
    command("get", 2, READ, FIRST, get),
    command("set", -3, WRITE, FIRST, set),
    command("incr", 2, WRITE, FIRST, |client, args| {
        add(client, args, Ok(1))
    }),
    command("lpush", -3, WRITE, FIRST, lists::lpush),
    command("rpush", -3, WRITE, FIRST, lists::rpush),
    command("lpop", -2, REMOVE, FIRST, lists::lpop),
    command("rpop", -2, REMOVE, FIRST, lists::rpop),
    always("ping", -1, FAST, ping),
    command("blpop", -3, BLOCKING, ALL_BUT_LAST, lists::blpop),
    command("brpop", -3, BLOCKING, ALL_BUT_LAST, lists::brpop),
    command("publish", 3, PUBSUB, NONE, pubsub::publish),
    command("exists", -2, READ, ALL, |client, args| {
        count(client, args, |client, key| {
            client.shared.store.exists(key, client.now)
        })
    }),
    command("del", -2, REMOVE, ALL, |client, args| {
        count(client, args, |client, key| {
            client.shared.store.delete(key, client.now)
        })
    }),
    command("decr", 2, WRITE, FIRST, |client, args| {
        add(client, args, Ok(-1))
    }),
    command("incrby", 3, WRITE, FIRST, |client, args| {
        add(client, args, number(args.at(2)))
    }),
    command("decrby", 3, WRITE, FIRST, |client, args| {
        let negative = "ERR decrement would overflow".into();
        add(
            client,
            args,
            number(args.at(2)).and_then(|n| n.checked_neg().ok_or(negative)),
        )
    }),
    command("expire", 3, REMOVE, FIRST, |client, args| {
        expire(client, args, 1000)
    }),
    command("pexpire", 3, REMOVE, FIRST, |client, args| {
        expire(client, args, 1)
    }),
    command("ttl", 2, READ, FIRST, |client, args| {
        ttl(client, args, 1000)
    }),
    command("pttl", 2, READ, FIRST, |client, args| ttl(client, args, 1)),
    command("persist", 2, REMOVE, FIRST, persist),
    command("type", 2, READ, FIRST, kind),
    command("llen", 2, READ, FIRST, lists::llen),
    command("lrange", 4, READ, FIRST, lists::lrange),
    always("subscribe", -2, PUBSUB, pubsub::subscribe),
    always("unsubscribe", -1, PUBSUB, pubsub::unsubscribe),
    always("psubscribe", -2, PUBSUB, pubsub::psubscribe),
    always("punsubscribe", -1, PUBSUB, pubsub::punsubscribe),
    command("echo", 2, FAST, NONE, echo),
    command("select", 2, FAST, NONE, admin::select),
    command("dbsize", 1, READ, NONE, admin::dbsize),
    command("flushall", -1, &["write"], NONE, admin::flush),
    command("flushdb", -1, &["write"], NONE, admin::flush),
    command("info", -1, ADMIN, NONE, admin::info),
    command("command", -1, ADMIN, NONE, admin::command),
    command("config", -2, ADMIN, NONE, admin::config),
    always("quit", -1, FAST, admin::quit),
];

pub(crate) fn find(name: &[u8]) -> Option<&'static Command> {
    COMMANDS
        .iter()
        .find(|command| command.name.as_bytes().eq_ignore_ascii_case(name))
}

/// Runs the command that a request names.
#[inline]
pub(crate) fn run(client: &mut Client<'_>, args: Args<'_>) -> Outcome {
    let command = find(args.at(0)).ok_or_else(|| unknown(args))?;
    let least = usize::from(command.arity.unsigned_abs());
    if args.len() < least || (command.arity > 0 && args.len() != least) {
        return Err(wrong_number(command.name));
    }
    if !command.subscribed && client.subscriber.as_ref().is_some_and(|s| s.is_listening()) {
        return Err(Failure::Reply(Cow::Owned(format!(
            "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
            command.name
        ))));
    }
    (command.run)(client, args)
}

pub(crate) fn wrong_number(name: &str) -> Failure {
    let text = format!("ERR wrong number of arguments for '{name}' command");
    Failure::Reply(Cow::Owned(text))
}

/// Quotes what was sent, but not more than a line of it.
fn unknown(args: Args<'_>) -> Failure {
    const QUOTED: usize = 128;
    let quote = |bytes: &[u8], room: usize| {
        String::from_utf8_lossy(&bytes[..bytes.len().min(room)]).into_owned()
    };
    let mut text = format!("ERR unknown command '{}', ", quote(args.at(0), QUOTED));
    text.push_str("with args beginning with: ");
    let mut room = QUOTED;
    for arg in args.from(1).iter() {
        if room == 0 {
            break;
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "'{}' ", quote(arg, room));
        room = room.saturating_sub(arg.len() + 3);
    }
    Failure::Reply(Cow::Owned(text))
}

pub(crate) fn number(text: &[u8]) -> Result<i64, Failure> {
    integer(text).ok_or(Error::NotInteger.into())
}

/// The moment that is so many milliseconds away, if it is one; a negative number is now.
fn after(client: &Client<'_>, millis: Option<i64>, command: &str) -> Result<Instant, Failure> {
    let millis = millis.map(|millis| u64::try_from(millis).unwrap_or(0));
    millis
        .and_then(|millis| client.now.checked_add(Duration::from_millis(millis)))
        .ok_or_else(|| {
            let text = format!("ERR invalid expire time in '{command}' command");
            Failure::Reply(Cow::Owned(text))
        })
}

fn ping(client: &mut Client<'_>, args: Args<'_>) -> Outcome {
    if args.len() > 2 {
        return Err(wrong_number("ping"));
    }
    let text = args.get(1);
    let listening = client.subscriber.as_ref().is_some_and(|s| s.is_listening());
    match text {
        _ if listening => {
            reply::array(&mut client.out, 2);
            reply::bulk(&mut client.out, b"pong");
            reply::bulk(&mut client.out, text.unwrap_or_default());
        }
        Some(text) => reply::bulk(&mut client.out, text),
        None => reply::simple(&mut client.out, "PONG"),
    }
    Ok(())
}

fn echo(client: &mut Client<'_>, args: Args<'_>) -> Outcome {
    reply::bulk(&mut client.out, args.at(1));
    Ok(())
}

fn get(client: &mut Client<'_>, args: Args<'_>) -> Outcome {
    let out = &mut client.out;
    let store = &client.shared.store;
    let found = store.get(args.at(1), client.now, |value| reply::bulk(out, value))?;
    if found.is_none() {
        reply::null(&mut client.out);
    }
    Ok(())
}

fn set(client: &mut Client<'_>, args: Args<'_>) -> Outcome {
    let (mut expires, mut only) = (None, Only::Always);
    let mut options = args.from(3).iter();
    while let Some(option) = options.next() {
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        if is("nx") && only == Only::Always {
            only = Only::IfAbsent;
        } else if is("xx") && only == Only::Always {
            only = Only::IfPresent;
        } else if (is("ex") || is("px")) && expires.is_none() {
            let time = number(options.next().ok_or("ERR syntax error")?)?;
            let factor = if is("ex") { 1000 } else { 1 };
            let millis = time.checked_mul(factor).filter(|_| time > 0);
            expires = Some(after(client, millis, "set")?);
        } else {
            return Err("ERR syntax error".into());
        }
    }
    let store = &client.shared.store;
    if store.set(args.at(1), args.at(2), expires, only, client.now) {
        reply::simple(&mut client.out, "OK");
    } else {
        reply::null(&mut client.out);
    }
    Ok(())
}

fn add(client: &mut Client<'_>, args: Args<'_>, delta: Result<i64, Failure>) -> Outcome {
    let number = client.shared.store.add(args.at(1), delta?, client.now)?;
    reply::integer(&mut client.out, number);
    Ok(())
}

/// How many of the keys are so.
fn count(
    client: &mut Client<'_>,
    args: Args<'_>,
    is_so: fn(&Client<'_>, &[u8]) -> bool,
) -> Outcome {
    let keys = args.from(1).iter();
    let counted = keys.filter(|key| is_so(client, key)).count();
    reply::count(&mut client.out, counted);
    Ok(())
}

fn expire(client: &mut Client<'_>, args: Args<'_>, factor: i64) -> Outcome {
    let time = number(args.at(2))?;
    let name = if factor == 1 { "pexpire" } else { "expire" };
    let at = after(client, time.checked_mul(factor), name)?;
    let there = client.shared.store.expire(args.at(1), at, client.now);
    reply::integer(&mut client.out, i64::from(there));
    Ok(())
}

fn ttl(client: &mut Client<'_>, args: Args<'_>, unit: u64) -> Outcome {
    let ttl = match client.shared.store.ttl(args.at(1), client.now) {
        Ttl::NoKey => -2,
        Ttl::Forever => -1,
        // To the nearest unit. A thousand million years of milliseconds fit.
        Ttl::Left(left) => ((left.as_millis() as u64 + unit / 2) / unit) as i64,
    };
    reply::integer(&mut client.out, ttl);
    Ok(())
}

fn persist(client: &mut Client<'_>, args: Args<'_>) -> Outcome {
    let had = client.shared.store.persist(args.at(1), client.now);
    reply::integer(&mut client.out, i64::from(had));
    Ok(())
}

fn kind(client: &mut Client<'_>, args: Args<'_>) -> Outcome {
    let kind = client.shared.store.kind(args.at(1), client.now);
    reply::simple(&mut client.out, kind.unwrap_or("none"));
    Ok(())
}
