//! Channels: a round trip between two tasks, many to many, and waiting for one of several.

use std::convert::Infallible;

use corio_bench_peers::blocking::channel::{Side, answers, places, sides};
use corio_bench_peers::measure::{Span, per_operation, rounds};
use corio_bench_peers::work::{check, shares, sum_below};
use corio_bench_peers::{Args, Failure, Outcome, flavoured};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::crew::crew;

type Players = Vec<Side<Sender<u64>, Receiver<u64>>>;

fn players(ways: usize, trips: u64) -> Players {
    let Ok(players) = sides(ways, trips, || Ok::<_, Infallible>(channel(1)));
    players
}

async fn ping(senders: &[Sender<u64>], mut answers: Receiver<u64>, trips: u64) -> u64 {
    let mut sum = 0;
    for (number, sender) in (0..trips).zip(senders.iter().cycle()) {
        sender.send(number).await.expect("somebody to play with");
        sum += answers.recv().await.expect("an answer");
    }
    sum
}

/// Two tasks that wait for each other in turn.
pub(crate) fn pingpong(runtime: &Runtime, args: &Args) -> Outcome {
    if places(args)? == 0 {
        return Err(Failure::absent("rendezvous channels"));
    }
    let trips = args.n(1_000_000);
    let spans = rounds(args, || {
        let (span, sum) = crew(runtime, players(1, trips), async |side| match side {
            Side::Ping(senders, answers, trips) => ping(&senders, answers, trips).await,
            Side::Pong(mut receivers, answer) => {
                while let Some(number) = receivers[0].recv().await {
                    answer.send(number + 1).await.expect("somebody to answer");
                }
                0
            }
        });
        check("sum of the answers", sum, answers(trips))?;
        Ok(span)
    })?;
    Ok(per_operation(&args.kind, trips, &spans))
}

/// [`select`] over one number of arms. `biased` is not used: the other peers choose at random too.
macro_rules! select {
    ($runtime:expr, $args:expr => $($receiver:ident)+) => {
        rounds($args, || {
            let trips = $args.n(500_000);
            let players = players($args.arms, trips);
            let (span, sum) = crew($runtime, players, async |side| match side {
                Side::Ping(senders, answers, trips) => ping(&senders, answers, trips).await,
                Side::Pong(mut receivers, answer) => {
                    let [$($receiver),+] = receivers.as_mut_slice() else {
                        unreachable!("as many receivers as arms");
                    };
                    loop {
                        let message = tokio::select! {
                            $(message = $receiver.recv() => message,)+
                        };
                        match message {
                            Some(number) => {
                                answer.send(number + 1).await.expect("somebody to answer");
                            }
                            None => break 0,
                        }
                    }
                }
            });
            check("sum of the answers", sum, answers(trips))?;
            Ok(span)
        })?
    };
}

/// A round trip in which one side waits for a message on any of several channels.
pub(crate) fn select(runtime: &Runtime, args: &Args) -> Outcome {
    let spans = match args.arms {
        2 => select!(runtime, args => a b),
        4 => select!(runtime, args => a b c d),
        8 => select!(runtime, args => a b c d e f g h),
        arms => return Err(Failure::absent(format!("select --arms {arms}"))),
    };
    let variant = format!("{} arms", args.arms);
    Ok(per_operation(&variant, args.n(500_000), &spans))
}

/// One of the tasks of [`mpmc`] and its end of the channel.
enum Role<S, R> {
    /// Sends the numbers below the last field.
    Producer(S, u64),
    /// Receives until there is no producer left.
    Consumer(R),
}

/// [`mpmc`] on one kind of channel.
macro_rules! mpmc {
    ($runtime:expr, $args:expr, $bounded:path, $send:ident, $recv:ident) => {{
        let (messages, producers) = ($args.n(4_000_000), $args.producers.max(1));
        let spans: Vec<Span> = rounds($args, || {
            let roles = {
                let (sender, receiver) = $bounded($args.cap);
                let producers =
                    shares(messages, producers).map(|share| Role::Producer(sender.clone(), share));
                let consumers =
                    (0..$args.consumers.max(1)).map(|_| Role::Consumer(receiver.clone()));
                producers.chain(consumers).collect()
            };
            let (span, sum) = crew($runtime, roles, async |role| match role {
                Role::Producer(sender, share) => {
                    for number in 0..share {
                        sender.$send(number).await.expect("a consumer");
                    }
                    0
                }
                Role::Consumer(receiver) => {
                    let mut sum = 0;
                    while let Ok(number) = receiver.$recv().await {
                        sum += number;
                    }
                    sum
                }
            });
            let sent = shares(messages, producers).map(sum_below).sum();
            check("sum of the messages", sum, sent)?;
            Ok(span)
        })?;
        let consumers = $args.consumers.max(1);
        let variant = format!("{producers}:{consumers} cap {}", $args.cap);
        per_operation(&variant, messages, &spans)
    }};
}

/// Messages from producers to consumers, as many as each can. tokio's own channels have one receiver:
/// those that its users take instead are flume's and, as another flavour, async-channel's.
pub(crate) fn mpmc(runtime: &Runtime, args: &Args) -> Outcome {
    let mut rows = mpmc!(runtime, args, flume::bounded, send_async, recv_async);
    let others = mpmc!(runtime, args, async_channel::bounded, send, recv);
    rows.extend(flavoured(others, "async-channel"));
    Ok(rows)
}
