//! What must not compile, and what the compiler says then. After a change of compiler or of a
//! signature: `TRYBUILD=overwrite cargo test -p corio --test compile_fail`, and read the difference.

#[test]
fn misuse_is_a_compile_error() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
