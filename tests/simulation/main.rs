//! The whole broker in one thread, without sockets, disks and clocks: connections, channels, shard
//! and a store in memory, under a scheduler that draws every decision from a seed. A run is a
//! function of its seed: what fails once fails again.
//!
//! Virtual clients speak AMQP bytes, cut anywhere. Commits and reads take their time, the process
//! dies in between, what was not synced is lost or half kept, the store fails, clocks jump. A
//! [`history::History`] watches both ends and compares with what is promised.
//!
//! - `FOREBAY_SIMULATION_SEEDS=N`: how many seeds (3,000 unless said otherwise).
//! - `FOREBAY_SIMULATION_FIRST=S`: the first of them; `random` for a nightly run.
//! - `FOREBAY_SIMULATION_STEPS=N`: the length of each run.
//! - `FOREBAY_SIMULATION_WITHOUT=CRASHES,KILLS`: leaves out what is named.
//! - `FOREBAY_SIMULATION_TRACE=1`: prints every step of what fails.
//!
//! A failure is made as small as it gets by leaving out what is not needed for it, and names the
//! command that repeats it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it did not expect has failed"
)]

mod audit;
mod channel;
mod client;
mod clock;
mod dice;
mod history;
mod intake;
mod keys;
mod life;
mod plan;
mod queues;
#[allow(dead_code, reason = "each program uses a part of it")]
#[path = "../harness/random.rs"]
mod random;
mod replay;
mod shadow;
mod socket;
mod traffic;
mod turn;
mod wait;
mod world;

use plan::{Feature, Plan};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

const SEEDS_DEFAULT: u64 = 3_000;
/// Every so many seeds, one is run twice: both runs must be the same to the last byte.
const TWICE_EVERY: u64 = 16;

#[test]
fn every_promise_holds_whatever_happens_in_between() {
    let first = match std::env::var("FOREBAY_SIMULATION_FIRST").as_deref() {
        Ok("random") => random::Random::seed() >> 8,
        Ok(number) => number.parse().expect("a number, or `random`"),
        Err(_) => 0,
    };
    let count = variable("FOREBAY_SIMULATION_SEEDS").unwrap_or(SEEDS_DEFAULT);
    eprintln!("FOREBAY_SIMULATION_FIRST={first} FOREBAY_SIMULATION_SEEDS={count}");
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|info| {
        LAST_PANIC.with_borrow_mut(|text| *text = info.to_string());
    }));
    let next = AtomicU64::new(0);
    let failure: Mutex<Option<(Plan, String)>> = Mutex::new(None);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count || failure.lock().unwrap().is_some() {
                        return;
                    }
                    let plan = Plan::asked_for(first.wrapping_add(number));
                    if let Err(text) = run(&plan, number.is_multiple_of(TWICE_EVERY)) {
                        failure.lock().unwrap().get_or_insert((plan, text));
                    }
                }
            });
        }
    });
    let failure = failure.into_inner().unwrap();
    let failure = failure.map(|(plan, text)| (plan.clone(), shrink(plan, text)));
    std::panic::set_hook(default_hook);
    if let Some((plan, (small, why))) = failure {
        if std::env::var("FOREBAY_SIMULATION_TRACE").is_ok() {
            let _ = catch_unwind(AssertUnwindSafe(|| world::World::run(&small, true)));
        }
        panic!("{why}\nrepeat it with\n    {}\nfound as\n    {}", small.command(), plan.command());
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

thread_local! {
    /// What the last panic of this thread said, and where.
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs a plan; what was wrong, if anything was.
fn run(plan: &Plan, twice: bool) -> Result<(), String> {
    let run_once = || {
        catch_unwind(AssertUnwindSafe(|| world::World::run(plan, false)))
            .map_err(|_| LAST_PANIC.with_borrow(String::clone))
    };
    let digest = run_once()?;
    if twice && run_once()? != digest {
        return Err("two runs of one seed differ: something is not deterministic".to_owned());
    }
    Ok(())
}

/// Leaves out features and steps as long as it still fails.
fn shrink(mut plan: Plan, mut text: String) -> (Plan, String) {
    let mut try_with = |smaller: Plan, plan: &mut Plan| {
        let failed = run(&smaller, false).err();
        if let Some(why) = failed {
            (*plan, text) = (smaller, why);
            return true;
        }
        false
    };
    for feature in Feature::ALL {
        if plan.has(feature) {
            try_with(plan.clone().without(feature), &mut plan);
        }
    }
    let mut cut = plan.steps / 2;
    while cut > 0 && plan.steps > 0 {
        let smaller = Plan { steps: plan.steps - cut.min(plan.steps), ..plan.clone() };
        if !try_with(smaller, &mut plan) {
            cut /= 2;
        }
    }
    (plan, text)
}
