//! The child process of tests: runs the scenario that its first argument names.

mod idle;

fn main() {
    let mut args = std::env::args().skip(1);
    let scenario = args.next().expect("the name of a scenario");
    let args: Vec<String> = args.collect();
    match scenario.as_str() {
        "idle" => idle::idle(&args),
        _ => panic!("no scenario {scenario:?}"),
    }
}
