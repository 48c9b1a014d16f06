//! Channels: a round trip between two tasks, many to many, and waiting for one of several.

use super::{Runtime, crew, fit, in_task};
use crate::args::Args;
use crate::measure::{Span, per_operation, rounds};
use crate::report::{Failure, Outcome};
use crate::work::{check, shares, sum_below};

/// The two players and their ends of the channels there and the one back.
pub enum Side<S, R> {
    /// Sends the numbers below the last field, on each channel in turn, and waits for the answer to
    /// each; returns the answers' sum.
    Ping(Vec<S>, R, u64),
    /// Adds 1 to what it receives and sends it back, until there is nobody to play with.
    Pong(Vec<R>, S),
}

/// Both sides of a match over so many channels there and one back.
pub fn sides<S, R, E>(
    ways: usize,
    trips: u64,
    mut channel: impl FnMut() -> Result<(S, R), E>,
) -> Result<Vec<Side<S, R>>, E> {
    let mut senders = Vec::new();
    let mut receivers = Vec::new();
    for _ in 0..ways {
        let (sender, receiver) = channel()?;
        senders.push(sender);
        receivers.push(receiver);
    }
    let (answer, answered) = channel()?;
    Ok(vec![
        Side::Ping(senders, answered, trips),
        Side::Pong(receivers, answer),
    ])
}

/// The sum of the answers to the numbers below `trips`.
pub fn answers(trips: u64) -> u64 {
    sum_below(trips + 1)
}

/// The places of the channels of `--kind`.
///
/// # Errors
///
/// [`Failure::Absent`] for kinds that nobody has.
pub fn places(args: &Args) -> Result<usize, Failure> {
    match args.kind.as_str() {
        "rendezvous" => Ok(0),
        "cap1" => Ok(1),
        kind => Err(Failure::absent(format!("pingpong --kind {kind}"))),
    }
}

fn ping<R: Runtime>(senders: &[R::Sender], answers: &R::Receiver, trips: u64) -> u64 {
    (0..trips)
        .zip(senders.iter().cycle())
        .map(|(number, sender)| {
            R::send(sender, number);
            R::recv(answers).expect("an answer")
        })
        .sum()
}

/// Two tasks that wait for each other in turn.
pub(super) fn pingpong<R: Runtime>(args: &Args) -> Outcome {
    let (trips, places) = (args.n(1_000_000), places(args)?);
    let spans = rounds(args, || {
        let players = sides(1, trips, || R::channel(places))?;
        let (span, sum) = in_task::<R, _>(move || {
            crew::<R, _, u64, _>(players, |side| match side {
                Side::Ping(senders, answers, trips) => ping::<R>(&senders, &answers, trips),
                Side::Pong(receivers, answer) => {
                    while let Some(number) = R::recv(&receivers[0]) {
                        R::send(&answer, number + 1);
                    }
                    0
                }
            })
        });
        check("sum of the answers", sum, answers(trips))?;
        Ok(span)
    })?;
    Ok(per_operation(&args.kind, trips, &spans))
}

/// The waiting side of [`select`].
pub type Pong<R> = fn(Vec<<R as Runtime>::Receiver>, <R as Runtime>::Sender);

/// A round trip in which one side waits for a message on any of several channels.
///
/// `pong` is the waiting side: it has as many receivers as arms. See [`crate::pong_by!`].
///
/// # Errors
///
/// [`Failure::Absent`] for numbers of arms that `pong` does not have.
pub fn select<R: Runtime>(args: &Args, pong: Option<Pong<R>>) -> Outcome {
    let (trips, arms) = (args.n(500_000), args.arms);
    let pong = pong.ok_or_else(|| Failure::absent(format!("select --arms {arms}")))?;
    let spans = rounds(args, || {
        let players = sides(arms, trips, || R::channel(0))?;
        let (span, sum) = in_task::<R, _>(move || {
            crew::<R, _, u64, _>(players, move |side| match side {
                Side::Ping(senders, answers, trips) => ping::<R>(&senders, &answers, trips),
                Side::Pong(receivers, answer) => {
                    pong(receivers, answer);
                    0
                }
            })
        });
        check("sum of the answers", sum, answers(trips))?;
        Ok(span)
    })?;
    Ok(per_operation(&format!("{arms} arms"), trips, &spans))
}

/// The waiting side of [`select`], given the path of a `select!` macro of crossbeam's kind and its arms.
#[macro_export]
macro_rules! pong_by {
    ($($select:ident)::+ => $($index:literal)+) => {
        |receivers, answer| loop {
            let message = $($select)::+! {
                $(recv(receivers[$index]) -> message => message,)+
            };
            match message {
                Ok(number) => answer.send(number + 1).expect("somebody to answer"),
                Err(_) => break,
            }
        }
    };
}

/// One of the tasks of [`mpmc`] and its end of the channel.
enum Role<S, R> {
    /// Sends the numbers below the last field.
    Producer(S, u64),
    /// Receives them.
    Consumer(R, u64),
}

/// Messages from producers to consumers, as many as each can.
pub(super) fn mpmc<R: Runtime>(args: &Args) -> Outcome {
    let (messages, places) = (args.n(4_000_000), args.cap);
    let (producers, consumers) = (args.producers.max(1), args.consumers.max(1));
    fit::<R>(producers + consumers)?;
    let sent = shares(messages, producers).map(sum_below).sum();
    let spans: Vec<Span> = rounds(args, || {
        let roles = {
            let (sender, receiver) = R::many(places);
            let producers =
                shares(messages, producers).map(|share| Role::Producer(sender.clone(), share));
            let consumers =
                shares(messages, consumers).map(|share| Role::Consumer(receiver.clone(), share));
            producers.chain(consumers).collect()
        };
        let (span, sum) = in_task::<R, _>(move || {
            crew::<R, _, u64, _>(roles, |role| match role {
                Role::Producer(sender, share) => {
                    R::produce(&sender, share);
                    0
                }
                Role::Consumer(receiver, quota) => R::consume(&receiver, quota),
            })
        });
        check("sum of the messages", sum, sent)?;
        Ok(span)
    })?;
    let variant = format!("{producers}:{consumers} cap {places}");
    Ok(per_operation(&variant, messages, &spans))
}
