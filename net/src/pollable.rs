//! Parking on any descriptor.
