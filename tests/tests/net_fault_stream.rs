//! A connection that is reset, half-closed, or closed while others are blocked on it: what was sent before
//! arrives, everybody comes back, nothing is left, and the server goes on.

mod net_support;

use net_support::under_all_settings;

#[test]
fn a_reset_ends_a_write_and_a_read_beside_it() {
    under_all_settings("fault_reset", &[]);
}

#[test]
fn a_half_closed_connection_goes_on_in_the_other_direction() {
    under_all_settings("fault_half_close", &[]);
}

#[test]
fn closing_ends_blocked_reads_and_writes() {
    under_all_settings("fault_close_under", &[]);
}
