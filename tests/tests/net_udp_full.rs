//! UDP in a network where what is sent stays with the sender, so that its socket runs out of room, which
//! loopback never does. The network is the test's own.

mod net_support;

use net_support::under_all_settings;

#[test]
fn a_send_without_room_waits() {
    under_all_settings("udp_full", &[]);
}
