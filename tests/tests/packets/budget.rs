//! How large the program may be. Time on a busy machine proves nothing; what the verifier and
//! the JIT make of the program is the same each time.

use std::{env, fs, path::Path};

use lb_tests::{dataplane::Bench, footprint::Footprint};

/// A file of its own, for it is meant to be written anew.
const BUDGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/budget.json");

#[test]
fn the_program_stays_within_its_budget() {
    let now = Footprint::of(Bench::new().program()).expect("the kernel's figures");
    let json = serde_json::to_string_pretty(&now).expect("JSON") + "\n";
    if env::var_os("LB_SET_BUDGET").is_some() {
        fs::write(BUDGET, json).expect("a budget that can be written");
        return;
    }
    let budget = fs::read_to_string(BUDGET).expect("tests/budget.json");
    let budget: Footprint = serde_json::from_str(&budget).expect("a budget");
    let beyond = now.beyond(&budget).join("\n  ");
    let file = Path::new(BUDGET).display();
    assert!(
        beyond.is_empty(),
        "the director's program has grown:\n  {beyond}\n\
         If it is worth it, raise the budget and say why in the commit:\n  \
         LB_SET_BUDGET=1 cargo test -p lb-tests --test packets budget\n\
         or write this to {file}:\n{json}"
    );
}
