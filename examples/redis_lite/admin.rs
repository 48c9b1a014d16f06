//! Commands about the server itself: as much as redis-cli and redis-benchmark ask for.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use crate::client::Client;
use crate::commands::{COMMANDS, Command, Outcome, find, number};
use crate::hub::matches;
use crate::reply;
use crate::resp::Args;

/// What CONFIG GET knows; nothing is ever saved.
const SETTINGS: [(&str, &str); 4] = [
    ("save", ""),
    ("appendonly", "no"),
    ("databases", "1"),
    ("maxmemory", "0"),
];

/// There is one database.
pub(crate) fn select(client: &mut Client<'_>, args: Args<'_>) -> Outcome {
    if number(args.at(1))? != 0 {
        return Err("ERR DB index is out of range".into());
    }
    reply::simple(&mut client.out, "OK");
    Ok(())
}

pub(crate) fn dbsize(client: &mut Client<'_>, _: Args<'_>) -> Outcome {
    let (keys, _) = client.shared.store.size();
    reply::count(&mut client.out, keys);
    Ok(())
}

/// FLUSHALL and FLUSHDB; SYNC and ASYNC make no difference.
pub(crate) fn flush(client: &mut Client<'_>, args: Args<'_>) -> Outcome {
    let is_mode =
        |mode: &[u8]| mode.eq_ignore_ascii_case(b"sync") || mode.eq_ignore_ascii_case(b"async");
    if args.len() > 2 || !args.get(1).is_none_or(is_mode) {
        return Err("ERR syntax error".into());
    }
    client.shared.store.clear();
    reply::simple(&mut client.out, "OK");
    Ok(())
}

pub(crate) fn quit(client: &mut Client<'_>, _: Args<'_>) -> Outcome {
    reply::simple(&mut client.out, "OK");
    client.quit = true;
    Ok(())
}

pub(crate) fn config(client: &mut Client<'_>, args: Args<'_>) -> Outcome {
    if !args.at(1).eq_ignore_ascii_case(b"get") || args.len() < 3 {
        return Err("ERR only CONFIG GET is known here".into());
    }
    let wanted = |name: &str| {
        let mut patterns = args.from(2).iter();
        patterns.any(|pattern| matches(&pattern.to_ascii_lowercase(), name.as_bytes()))
    };
    let found: Vec<_> = SETTINGS
        .iter()
        .filter(|(name, _)| wanted(name))
        .flat_map(|(name, value)| [name, value])
        .collect();
    reply::array(&mut client.out, found.len());
    for text in found {
        reply::bulk(&mut client.out, text.as_bytes());
    }
    Ok(())
}

/// COMMAND, COMMAND COUNT, COMMAND INFO [name...], and COMMAND DOCS, which has nothing to say.
pub(crate) fn command(client: &mut Client<'_>, args: Args<'_>) -> Outcome {
    let out = &mut client.out;
    let is = |name: &str| {
        args.get(1)
            .is_some_and(|arg| arg.eq_ignore_ascii_case(name.as_bytes()))
    };
    if args.len() == 1 || (is("info") && args.len() == 2) {
        reply::array(out, COMMANDS.len());
        COMMANDS.iter().for_each(|command| describe(out, command));
    } else if is("count") {
        reply::count(out, COMMANDS.len());
    } else if is("docs") {
        reply::array(out, 0);
    } else if is("info") {
        reply::array(out, args.len() - 2);
        for name in args.from(2).iter() {
            match find(name) {
                Some(command) => describe(out, command),
                None => reply::null_array(out),
            }
        }
    } else {
        return Err("ERR unknown subcommand. Try COMMAND COUNT, COMMAND INFO.".into());
    }
    Ok(())
}

fn describe(out: &mut Vec<u8>, command: &Command) {
    let (first, last, step) = command.keys;
    reply::array(out, 6);
    reply::bulk(out, command.name.as_bytes());
    reply::integer(out, i64::from(command.arity));
    reply::array(out, command.flags.len());
    command
        .flags
        .iter()
        .for_each(|flag| reply::simple(out, flag));
    for n in [first, last, step] {
        reply::integer(out, i64::from(n));
    }
}

pub(crate) fn info(client: &mut Client<'_>, args: Args<'_>) -> Outcome {
    let shared = client.shared;
    let stats = client.conn.server().stats();
    let (keys, expires) = shared.store.size();
    let (channels, patterns) = shared.hub.size();
    let total = shared.commands.load(Relaxed) + client.commands;
    let sections = [
        (
            "Server",
            format!(
                "redis_version:7.0.0\r\nredis_mode:standalone\r\nserver_name:redis_lite\r\nserver_version:{}\r\nprocess_id:{}\r\nuptime_in_seconds:{}\r\n",
                env!("CARGO_PKG_VERSION"),
                std::process::id(),
                shared.started.elapsed().as_secs(),
            ),
        ),
        (
            "Clients",
            format!(
                "connected_clients:{}\r\nmaxclients:{}\r\nblocked_clients:{}\r\ntotal_blocking_keys:{}\r\n",
                stats.open(),
                shared.max_clients,
                shared.blocked.load(Relaxed),
                shared.store.waited_for(),
            ),
        ),
        (
            "Stats",
            format!(
                "total_connections_received:{}\r\ntotal_commands_processed:{total}\r\nexpired_keys:{}\r\npubsub_channels:{channels}\r\npubsub_patterns:{patterns}\r\ngoroutines:{}\r\n",
                stats.accepted,
                shared.expired.load(Relaxed),
                corio::num_goroutines(),
            ),
        ),
        (
            "Keyspace",
            if keys == 0 {
                String::new()
            } else {
                format!("db0:keys={keys},expires={expires},avg_ttl=0\r\n")
            },
        ),
    ];
    let wanted = |section: &str| {
        args.len() == 1
            || args.from(1).iter().any(|name| {
                let general: [&[u8]; 3] = [b"all", b"default", b"everything"];
                name.eq_ignore_ascii_case(section.as_bytes())
                    || general.iter().any(|all| name.eq_ignore_ascii_case(all))
            })
    };
    let mut text = String::new();
    for (section, lines) in sections.iter().filter(|(section, _)| wanted(section)) {
        let gap = if text.is_empty() { "" } else { "\r\n" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{gap}# {section}\r\n{lines}");
    }
    reply::bulk(&mut client.out, text.as_bytes());
    Ok(())
}
