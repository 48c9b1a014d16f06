//! Networks that swallow, lose, double, delay and reorder packets: deadlines fire, and data is intact. Each
//! network is the test's own and goes with it.

mod net_support;

use net_support::{scenario, under_all_settings};

#[test]
fn behind_a_black_hole_every_wait_ends_in_time() {
    scenario("fault_black_hole", &[], 2, false);
    scenario("fault_black_hole", &[], 1, true);
}

#[test]
fn data_survives_lost_and_doubled_packets() {
    under_all_settings("fault_loss", &[]);
}

#[test]
fn data_survives_delay_and_reordering() {
    under_all_settings("fault_relay", &[]);
}

/// Where the kernel has no `netem`, the relay is what there is.
#[test]
fn data_survives_the_kernels_network_emulator() {
    scenario("fault_netem", &[], 2, false);
}
