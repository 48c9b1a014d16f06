//! Skynet: every task starts ten others, the last generation return their numbers, every task above
//! adds up what its ten return.

use super::{Runtime, fit, in_task};
use crate::args::Args;
use crate::measure::{Watch, rounds, whole};
use crate::report::{Failure, Outcome, flavoured};
use crate::work::{CHILDREN, Tree, check, sum_below};

/// The tree by channels, each task having one on which its ten report, or by joining them.
pub(super) fn skynet<R: Runtime>(args: &Args) -> Outcome {
    let leaves = args.n(1_000_000);
    let tree = Tree::with(leaves)?;
    fit::<R>(tree.tasks())?;
    let (flavour, grow): (_, fn(Tree) -> u64) = match args.mode("chan") {
        "chan" => {
            R::reports()?;
            (None, by_channels::<R>)
        }
        "join" => (Some("join"), by_joining::<R>),
        mode => return Err(Failure::absent(format!("skynet --mode {mode}"))),
    };
    let spans = rounds(args, || {
        let (span, sum) = in_task::<R, _>(move || {
            let watch = Watch::start();
            let sum = grow(tree);
            (watch.stop(), sum)
        });
        check("sum of the leaves", sum, sum_below(leaves))?;
        Ok(span)
    })?;
    let rows = whole(&format!("{leaves} leaves"), &spans);
    Ok(match flavour {
        Some(flavour) => flavoured(rows, flavour),
        None => rows,
    })
}

fn by_channels<R: Runtime>(tree: Tree) -> u64 {
    if tree.leaves == 1 {
        return tree.first;
    }
    let Ok((sender, receiver)) = R::reports() else {
        unreachable!("asked for before");
    };
    for child in tree.children() {
        let sender = sender.clone();
        R::spawn(move || report::<R>(child, &sender));
    }
    (0..CHILDREN)
        .map(|_| R::recv(&receiver).expect("a report"))
        .sum()
}

fn report<R: Runtime>(tree: Tree, reports: &R::Sender) {
    R::send(reports, by_channels::<R>(tree));
}

fn by_joining<R: Runtime>(tree: Tree) -> u64 {
    if tree.leaves == 1 {
        return tree.first;
    }
    let children: Vec<_> = tree
        .children()
        .map(|child| R::spawn(move || by_joining::<R>(child)))
        .collect();
    children.into_iter().map(R::join).sum()
}
