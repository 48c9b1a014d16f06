//! The cases of each workload, in the sizes of a full run and of a quick one.
//!
//! A round is some tenths of a second for most peers. What differs between rounds is mostly the state
//! of the machine, which drifts over minutes, and more rounds show that where longer ones do not.

use super::{Case, Drive, Load, Socket, Wants};

fn own<const N: usize>(variant: String, operations: u64, parameters: [(&str, String); N]) -> Case {
    let parameters = parameters
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
    Case {
        variant,
        drive: Drive::Own {
            parameters,
            operations,
        },
        env: Vec::new(),
    }
}

fn served<const N: usize>(variant: String, load: Load, parameters: [(&str, String); N]) -> Case {
    let parameters = parameters
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
    Case {
        variant,
        drive: Drive::Served { parameters, load },
        env: Vec::new(),
    }
}

fn echo(connections: usize, message: usize, depth: usize) -> Load {
    let (rate, on, wants) = (None, Socket::Tcp, Wants::Throughput);
    Load::Echo {
        connections,
        message,
        depth,
        rate,
        on,
        wants,
    }
}

/// `full`, or a twentieth of it.
fn size(quick: bool, full: u64) -> u64 {
    if quick { full / 20 } else { full }
}

pub(super) fn yields(quick: bool) -> Vec<Case> {
    let n = size(quick, 2_000_000);
    let case = |tasks: u32| {
        own(
            format!("{tasks} tasks"),
            n,
            [("n", n.to_string()), ("tasks", tasks.to_string())],
        )
    };
    vec![case(2), case(4), case(1000)]
}

pub(super) fn spawn(quick: bool) -> Vec<Case> {
    let (few, many) = (size(quick, 500_000), size(quick, 1_000_000));
    let burst = |what: &str, warmup: u32| {
        own(
            format!("burst of {many}, {what}"),
            many,
            [
                ("n", many.to_string()),
                ("mode", "burst".into()),
                ("warmup", warmup.to_string()),
            ],
        )
    };
    vec![
        own(
            "one by one".into(),
            few,
            [("n", few.to_string()), ("mode", "one".into())],
        ),
        burst("cold", 0),
        burst("warm", 1),
    ]
}

pub(super) fn pingpong(quick: bool) -> Vec<Case> {
    let n = size(quick, 500_000);
    let case = |kind: &str| {
        own(
            kind.into(),
            n,
            [("n", n.to_string()), ("kind", kind.into())],
        )
    };
    vec![case("rendezvous"), case("cap1")]
}

pub(super) fn chan_mpmc(quick: bool) -> Vec<Case> {
    let n = size(quick, 2_000_000);
    let case = |crew: u32| {
        own(
            format!("{crew}:{crew} cap 128"),
            n,
            [
                ("n", n.to_string()),
                ("producers", crew.to_string()),
                ("consumers", crew.to_string()),
                ("cap", "128".into()),
            ],
        )
    };
    vec![case(1), case(4)]
}

pub(super) fn select(quick: bool) -> Vec<Case> {
    let n = size(quick, 300_000);
    let case = |arms: u32| {
        own(
            format!("{arms} arms"),
            n,
            [("n", n.to_string()), ("arms", arms.to_string())],
        )
    };
    vec![case(2), case(8)]
}

pub(super) fn mutex(quick: bool) -> Vec<Case> {
    let n = size(quick, 2_000_000);
    let case = |variant: &str, tasks: u32| {
        own(
            variant.into(),
            n,
            [("n", n.to_string()), ("tasks", tasks.to_string())],
        )
    };
    vec![case("uncontended", 1), case("8 tasks", 8)]
}

pub(super) fn rwlock(quick: bool) -> Vec<Case> {
    let n = size(quick, 2_000_000);
    let case = |variant: &str, tasks: u32| {
        own(
            variant.into(),
            n,
            [
                ("n", n.to_string()),
                ("tasks", tasks.to_string()),
                ("reads", "90".into()),
            ],
        )
    };
    vec![
        case("uncontended 90% reads", 1),
        case("8 tasks 90% reads", 8),
    ]
}

pub(super) fn skynet(quick: bool) -> Vec<Case> {
    let leaves: u64 = if quick { 10_000 } else { 1_000_000 };
    let case = |leaves: u64, what: &str, warmup: u32| {
        own(
            format!("{leaves} leaves, {what}"),
            leaves,
            [("n", leaves.to_string()), ("warmup", warmup.to_string())],
        )
    };
    let mut cases = vec![case(leaves, "cold", 0), case(leaves, "warm", 1)];
    if !quick {
        cases.push(case(10_000, "warm", 1));
    }
    cases
}

pub(super) fn timers(quick: bool) -> Vec<Case> {
    let case = |n: u64, what: &str, warmup: u32| {
        own(
            format!("{n} timers, {what}"),
            n,
            [
                ("n", n.to_string()),
                ("min-ms", "10".into()),
                ("max-ms", "110".into()),
                ("warmup", warmup.to_string()),
            ],
        )
    };
    if quick {
        vec![case(5_000, "warm", 1)]
    } else {
        vec![
            case(10_000, "warm", 1),
            case(100_000, "cold", 0),
            case(100_000, "warm", 1),
        ]
    }
}

pub(super) fn idle_mem(quick: bool) -> Vec<Case> {
    let sizes: &[u64] = if quick {
        &[10_000]
    } else {
        &[10_000, 100_000, 1_000_000]
    };
    sizes
        .iter()
        .map(|n| {
            own(
                format!("{n} tasks"),
                *n,
                [("n", n.to_string()), ("warmup", "0".into())],
            )
        })
        .collect()
}

pub(super) fn echoes(quick: bool) -> Vec<Case> {
    let sizes: &[usize] = if quick {
        &[1, 64, 1000]
    } else {
        &[1, 64, 1000, 8000]
    };
    let mut cases = Vec::new();
    for message in [64, 1024] {
        for connections in sizes {
            let variant = format!("C={connections} {message} B");
            cases.push(served(variant, echo(*connections, message, 1), []));
        }
    }
    cases
}

pub(super) fn stream(_quick: bool) -> Vec<Case> {
    let case = |connections: usize| {
        served(
            format!("C={connections} 512 B depth 32"),
            echo(connections, 512, 32),
            [],
        )
    };
    vec![case(4), case(16)]
}

pub(super) fn http(quick: bool) -> Vec<Case> {
    let case = |depth: usize, wrk: bool| {
        let variant = format!("C=64 depth {depth}{}", if wrk { ", wrk" } else { "" });
        let load = Load::Http {
            connections: 64,
            depth,
            wrk,
        };
        served(variant, load, [])
    };
    let mut cases = vec![case(1, false), case(16, false), case(16, true)];
    if !quick {
        cases.push(case(1, true));
    }
    cases
}

pub(super) fn churn(_quick: bool) -> Vec<Case> {
    vec![served(
        "C=64 64 B".into(),
        Load::Churn {
            concurrency: 64,
            message: 64,
        },
        [],
    )]
}

pub(super) fn idle_conn(quick: bool) -> Vec<Case> {
    let connections = if quick { 1000 } else { 8000 };
    let case = |what: &str, message: usize| {
        served(
            format!("{connections} {what}"),
            Load::Idle {
                connections,
                message,
            },
            [],
        )
    };
    let load = Load::Idle {
        connections,
        message: 64,
    };
    let pooled = served(
        format!("{connections} after one exchange, pooled"),
        load,
        [("pooled", "".into())],
    );
    vec![case("untouched", 0), case("after one exchange", 64), pooled]
}

/// Seconds after the start of a server at which its hogs begin: time enough to connect.
const HOGS_AFTER: f64 = 0.3;

pub(super) fn hog(quick: bool) -> Vec<Case> {
    let case = |hogs: usize| {
        let (on, wants) = (Socket::Tcp, Wants::Hogs);
        let (connections, rate) = (100, Some(2000.0));
        served(
            format!("{hogs} hogs, 1 blocker"),
            Load::Echo {
                connections,
                message: 64,
                depth: 1,
                rate,
                on,
                wants,
            },
            [
                ("hogs", hogs.to_string()),
                ("blockers", "1".into()),
                ("delay", HOGS_AFTER.to_string()),
            ],
        )
    };
    if quick {
        vec![case(1), case(8)]
    } else {
        vec![case(1), case(8), case(32)]
    }
}

pub(super) fn bulk(_quick: bool) -> Vec<Case> {
    let parameters = [("size-hint", "65536".to_owned())];
    vec![served(
        "C=16 64 KiB".into(),
        echo(16, 65_536, 1),
        parameters,
    )]
}

pub(super) fn uds(_quick: bool) -> Vec<Case> {
    let case = |connections: usize| {
        let (rate, on, wants) = (None, Socket::Unix, Wants::Throughput);
        served(
            format!("C={connections} 64 B"),
            Load::Echo {
                connections,
                message: 64,
                depth: 1,
                rate,
                on,
                wants,
            },
            [],
        )
    };
    vec![case(1), case(64)]
}

pub(super) fn fairness(_quick: bool) -> Vec<Case> {
    let (rate, on, wants) = (None, Socket::Tcp, Wants::Fairness);
    let load = Load::Echo {
        connections: 1000,
        message: 64,
        depth: 1,
        rate,
        on,
        wants,
    };
    vec![served("C=1000 64 B".into(), load, [])]
}
