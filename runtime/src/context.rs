//! Contexts: cancellation, deadlines and values that go down a call tree.
