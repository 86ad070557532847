//! The Rust side of the conversations: `peer server ADDRESS` serves a fresh Thing to each connection, `peer client
//! ADDRESS CASES NAME...` runs those cases, each on its own connection, and prints "ok NAME" or "not ok NAME: why".
mod client;
mod net;
mod step;
mod thing;
#[allow(unreachable_patterns)] // an interface that is reached on two ways is matched twice
mod schema {
    capnp::generated_code!(pub mod conversation_capnp, "conversation_capnp.rs");
}
use schema::conversation_capnp;

use std::collections::HashMap;

/// The steps of each case.
fn read_cases(path: &str) -> std::io::Result<HashMap<String, Vec<String>>> {
    let mut cases: HashMap<String, Vec<String>> = HashMap::new();
    let mut name = String::new();
    for line in std::fs::read_to_string(path)?.lines() {
        if let Some(rest) = line.strip_prefix("case ") {
            name = rest.split_whitespace().next().unwrap_or("").into();
        } else if let Some(rest) = line.strip_prefix("    ") {
            cases.entry(name.clone()).or_default().push(rest.into());
        }
    }
    Ok(cases)
}

async fn run(words: &[String]) -> Result<bool, Box<dyn std::error::Error>> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["server", address] => net::serve(address).await.map(|()| true),
        ["client", address, cases, ref names @ ..] => {
            let (cases, mut good) = (read_cases(cases)?, true);
            for name in names {
                match client::run_case(address, cases.get(*name).ok_or("no such case")?).await {
                    Ok(()) => println!("ok {name}"),
                    Err(why) => {
                        println!("not ok {name}: {}", why.replace('\n', " "));
                        good = false;
                    }
                }
            }
            Ok(good)
        }
        _ => Err("usage: peer server ADDRESS | client ADDRESS CASES NAME...".into()),
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match tokio::task::LocalSet::new().block_on(&runtime, run(&words)) {
        Ok(good) => std::process::exit(i32::from(!good)),
        Err(why) => {
            eprintln!("peer: {why}");
            std::process::exit(2);
        }
    }
}
