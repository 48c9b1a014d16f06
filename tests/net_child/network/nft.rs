//! Packets lost and doubled by the kernel's firewall, as they come in at either end of a
//! [cable](super::veth).
//!
//! A rule that is given to `numgen random` hits packets by chance; each counts what it has hit, so that a
//! test can tell whether its fault has happened at all.

use super::{FAR, Far, NEAR, Refused, near};

/// The hook, before connections are looked up, in the table that [`clear`] removes.
const TABLE: &str = "add table ip fault; \
                     add chain ip fault arrival { type filter hook prerouting priority -300; }";

/// Loses and doubles so many of a hundred packets, in both directions.
pub(crate) fn spoil(far: &Far, lost: u32, doubled: u32) -> Result<(), Refused> {
    let rules = |device: &str, here| {
        format!(
            "nft {TABLE}; \
             add rule ip fault arrival iifname {device} numgen random mod 100 < {lost} \
             counter drop; \
             add rule ip fault arrival iifname {device} numgen random mod 100 < {doubled} \
             counter dup to {here}"
        )
    };
    near(&rules("near", NEAR))?;
    far.command(&rules("far", FAR))?;
    Ok(())
}

/// Swallows everything, in both directions.
pub(crate) fn black_hole(far: &Far) -> Result<(), Refused> {
    let rules =
        |device| format!("nft {TABLE}; add rule ip fault arrival iifname {device} counter drop");
    near(&rules("near"))?;
    far.command(&rules("far"))?;
    Ok(())
}

/// Ends all faults.
pub(crate) fn clear(far: &Far) {
    for result in [
        near("nft delete table ip fault"),
        far.command("nft delete table ip fault"),
    ] {
        result.expect("there is one");
    }
}

/// How often each rule has hit, in the order of the rules, at the near end and at the far end.
pub(crate) fn hits(far: &Far) -> [Vec<usize>; 2] {
    const LIST: &str = "nft list table ip fault";
    [near(LIST), far.command(LIST)].map(|listing| {
        let listing = listing.expect("there is one");
        listing
            .split("counter packets ")
            .skip(1)
            .map(|rest| rest.split(' ').next().unwrap().parse().unwrap())
            .collect()
    })
}
