//! corosensei alone: what its coroutines cost without any scheduler. These are floors.
//!
//! * `yield`: a resume and a suspend; with several tasks, of each in turn.
//! * `spawn`: a coroutine is made on a stack that one before it had, runs, and gives the stack back. In
//!   `burst` all are made before the first is run, each on a stack of its own from the round before.
//! * `pingpong`: two coroutines and a place each way: two resumes, and the numbers by hand.

use std::cell::Cell;
use std::hint::black_box;
use std::process::ExitCode;
use std::rc::Rc;

use corio_bench_peers::measure::{Span, Watch, per_operation, rounds};
use corio_bench_peers::work::{check, shares, sum_below};
use corio_bench_peers::{Args, Failure, Outcome, run};
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult};

const VERSION: &str = concat!("corosensei ", env!("VERSION_corosensei"));

/// The size of a stack: what corio's have unless told otherwise.
const STACK: usize = 256 * 1024;

fn main() -> ExitCode {
    run("corosensei", VERSION, workload)
}

fn workload(args: &Args) -> Outcome {
    if args.procs != 1 {
        return Err(Failure::absent("more than one proc"));
    }
    match args.workload.as_str() {
        "yield" => yields(args),
        "spawn" => spawn(args),
        "pingpong" => pingpong(args),
        other => Err(Failure::absent(other)),
    }
}

fn yields(args: &Args) -> Outcome {
    let (n, tasks) = (args.n(10_000_000), args.tasks(2));
    let spans = rounds(args, || {
        let mut coroutines: Vec<_> = shares(n, tasks)
            .map(|share| {
                Coroutine::<(), (), u64>::new(move |yielder, ()| {
                    for _ in 0..share {
                        yielder.suspend(());
                    }
                    share
                })
            })
            .collect();
        let mut yields = 0;
        let watch = Watch::start();
        while !coroutines.is_empty() {
            coroutines.retain_mut(|coroutine| match coroutine.resume(()) {
                CoroutineResult::Yield(()) => true,
                CoroutineResult::Return(share) => {
                    yields += share;
                    false
                }
            });
        }
        let span = watch.stop();
        check("yields", yields, n)?;
        Ok(span)
    })?;
    Ok(per_operation(&format!("{tasks} tasks"), n, &spans))
}

fn spawn(args: &Args) -> Outcome {
    let n = args.n(1_000_000);
    let (name, stacks) = match args.mode("one") {
        "one" => ("one by one", 1),
        "burst" => ("burst", n),
        mode => return Err(Failure::absent(format!("spawn --mode {mode}"))),
    };
    let mut pool = (0..stacks)
        .map(|_| DefaultStack::new(STACK))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Failure::Absent(format!("cannot have {stacks} stacks: {error}")))?;
    let spans = rounds(args, || {
        let (span, ran) = match stacks {
            1 => one_by_one(n, &mut pool)?,
            _ => burst(&mut pool),
        };
        check("tasks", ran, n)?;
        Ok(span)
    })?;
    Ok(per_operation(name, n, &spans))
}

type Short = Coroutine<(), (), u64, DefaultStack>;

fn short(stack: DefaultStack) -> Short {
    Coroutine::with_stack(stack, |_, ()| black_box(1_u64))
}

/// Runs it to its end; what it returned, and its stack.
fn finish(mut coroutine: Short) -> (u64, DefaultStack) {
    let ran = match coroutine.resume(()) {
        CoroutineResult::Return(ran) => ran,
        CoroutineResult::Yield(()) => 0,
    };
    (ran, coroutine.into_stack())
}

fn one_by_one(n: u64, pool: &mut Vec<DefaultStack>) -> Result<(Span, u64), Failure> {
    let mut stack = pool.pop().ok_or("no stack")?;
    let mut ran = 0;
    let watch = Watch::start();
    for _ in 0..n {
        let one;
        (one, stack) = finish(short(stack));
        ran += one;
    }
    let span = watch.stop();
    pool.push(stack);
    Ok((span, ran))
}

fn burst(pool: &mut Vec<DefaultStack>) -> (Span, u64) {
    let mut coroutines = Vec::with_capacity(pool.len());
    let mut ran = 0;
    let watch = Watch::start();
    coroutines.extend(pool.drain(..).map(short));
    for coroutine in coroutines {
        let (one, stack) = finish(coroutine);
        ran += one;
        pool.push(stack);
    }
    (watch.stop(), ran)
}

fn pingpong(args: &Args) -> Outcome {
    let trips = args.n(1_000_000);
    if args.kind != "cap1" {
        return Err(Failure::absent("rendezvous channels"));
    }
    let spans = rounds(args, || {
        let place: [_; 2] = std::array::from_fn(|_| Rc::new(Cell::new(0)));
        let [there, back] = place.clone();
        let mut ping = Coroutine::<(), (), u64>::new(move |yielder, ()| {
            let mut sum = 0;
            for number in 0..trips {
                there.set(number);
                yielder.suspend(());
                sum += back.get();
            }
            sum
        });
        let [there, back] = place;
        let mut pong = Coroutine::<(), (), ()>::new(move |yielder, ()| {
            loop {
                back.set(there.get() + 1);
                yielder.suspend(());
            }
        });
        let watch = Watch::start();
        let sum = loop {
            match ping.resume(()) {
                CoroutineResult::Yield(()) => black_box(pong.resume(())),
                CoroutineResult::Return(sum) => break sum,
            };
        };
        let span = watch.stop();
        check("sum of the answers", sum, sum_below(trips + 1))?;
        Ok(span)
    })?;
    Ok(per_operation("cap1", trips, &spans))
}
