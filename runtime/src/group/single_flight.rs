//! `SingleFlight`: one call for many that ask for the same at once.
