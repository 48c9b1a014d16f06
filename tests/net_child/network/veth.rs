//! A cable between the near and the far network: a pair of virtual Ethernet devices.

use super::{FAR, Far, NEAR, Refused, near};

/// Joins the networks. The devices are called `near` and `far`.
///
/// Packets cross it as they would cross a wire: not larger than its MTU, for a fault shall hit one of
/// them and not 64 kB. Retransmission waits for 5 ms at least instead of 200, as nobody is far away.
pub(crate) fn join(far: &Far) -> Result<(), Refused> {
    let there = far.path();
    near(&format!(
        "ip link add near type veth peer name far netns {there}"
    ))?;
    near(&format!("ip address add {NEAR}/24 dev near"))?;
    near("ip link set near up gso_max_segs 1")?;
    near("ip route change 10.77.0.0/24 dev near rto_min 5ms")?;
    far.command(&format!("ip address add {FAR}/24 dev far"))?;
    far.command("ip link set far up gso_max_segs 1")?;
    far.command("ip route change 10.77.0.0/24 dev far rto_min 5ms")?;
    Ok(())
}

/// Lets the kernel's emulator treat, in each direction, what leaves the devices.
pub(crate) fn netem(far: &Far, what: &str) -> Result<(), Refused> {
    near(&format!("tc qdisc add dev near root netem {what}"))?;
    far.command(&format!("tc qdisc add dev far root netem {what}"))?;
    Ok(())
}
