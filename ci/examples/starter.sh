# starter: a project of its own, copied elsewhere and used as its README says.

copied() {
    local there=$logs/starter root=$PWD built
    built=$(realpath -m "$target")/starter
    rm -rf "$there"
    cp -r examples/starter "$there"
    sed -i "s|\"../../|\"$root/|" "$there/Cargo.toml"
    # The versions that are known to be good, and already here.
    cp Cargo.lock "$there"
    cd "$there"
    CARGO_TARGET_DIR=$built cargo test 2>&1 | tee "$logs/starter.txt"
    grep -q '^test result: ok. 1 passed' "$logs/starter.txt"
}
check "starter: copied elsewhere, its test passes" copied
