//! Bounds and constants of the statistics.

/// Seconds of a quarter of an hour, the grain of a history.
pub const QUARTER_SECONDS: u64 = 900;
/// Quarters of a day.
pub const DAY_QUARTERS: usize = 96;
/// Quarters of a block, the coarser grain of what is kept beside lag.
pub const BLOCK_QUARTERS: usize = 8;
/// Blocks of a day.
pub const DAY_BLOCKS: usize = DAY_QUARTERS / BLOCK_QUARTERS;
/// Days that are looked back at most.
pub const HISTORY_DAYS: usize = 35;
/// Fewest days that may be set.
pub const HISTORY_DAYS_MIN: usize = 7;
/// Days that are kept beyond those that are looked back: the one that is under way, and one that a clock that was wrong
/// made.
pub const HISTORY_DAYS_SPARE: usize = 2;
/// Most bytes of an encoded day.
pub const DAY_ENCODED_BYTES_MAX: usize = 1 + 2 + 2 * DAY_QUARTERS + 9 * DAY_BLOCKS + 11;

/// Parts that the past is told in at most.
pub const PAST_POINTS_MAX: usize = 300;

/// Quarters before and after the present time of day that count as the same time of day.
pub const SAME_TIME_QUARTERS: usize = 8;
/// Quarters that an excursion may last to be a batch that has a rhythm; a longer one is an incident.
pub const BATCH_QUARTERS_MAX: usize = 48;
/// Days for which a new level, or a new rhythm of batches, must hold until it is normal by itself.
pub const LEARN_DAYS_DEFAULT: u16 = 14;
/// Days with data from which on the alert line is exact.
pub const TRUSTED_DAYS_MIN: usize = 6;
/// Days with data from which on there is a provisional alert line.
pub const PROVISIONAL_DAYS_MIN: usize = 3;

/// The alert line, in normal peaks.
pub const LINE_FACTOR_DEFAULT: f64 = 2.0;
/// The alert line while the history is young, in peaks of what was seen.
pub const PROVISIONAL_FACTOR: f64 = 4.0;
/// No alert line is lower, in messages.
pub const LINE_MESSAGES_MIN: f64 = 10.0;
/// Lag that consumers are done with in this time at their usual rate is never above the line.
pub const LINE_WORK_SECONDS_MIN: f64 = 1.0;

/// The share of the way from the normal peak to the line above which a quarter belongs to the excursion beside it.
pub const EXCURSION_SHOULDER: f64 = 0.2;
/// Quarters before an excursion that may belong to it.
pub const SHOULDER_QUARTERS_MAX: u64 = 96;

/// Drain times, ages and pauses are beyond normal at this multiple of their normal peak.
pub const TIMES_FACTOR: f64 = 3.0;
/// No drain time below this is too long.
pub const DRAIN_SECONDS_MIN: f64 = 1800.0;
/// No age below this is too high, unless a maximum was set.
pub const AGE_SECONDS_MIN: f64 = 900.0;
/// No pause between two settlements below this is a stall while the queue's service time is not known from some days.
pub const PAUSE_SECONDS_MIN: f64 = 300.0;
/// No pause below this is a stall of a queue whose service time is known: it is looked at every few seconds, and consumers
/// may start anew.
pub const STALL_SECONDS_MIN: f64 = 60.0;
/// Buckets of a count of hold times.
pub const HOLD_BUCKETS: usize = 64;
/// The service time of a queue: within it this share of its deliveries is settled.
pub const SERVICE_QUANTILE: f64 = 0.99;
/// A pause that is usual is no stall, whatever the service time; nor is one that is longer by this factor.
pub const USUAL_PAUSE_FACTOR: f64 = 1.5;
/// A drain time counts when lag is at least this share of the day's normal peak.
pub const DRAIN_LAG_SHARE: f64 = 0.25;
/// A pause is a stall when so many messages would have been settled in it at the pace before.
pub const PAUSE_MESSAGES_MIN: f64 = 30.0;
/// A drain time counts as what it was at least in this time: at the beginning of a batch the rate is not yet that of the batch.
pub const DRAIN_HOLD_SECONDS: u64 = 900;
/// How long an age must be too high.
pub const AGE_HOLD_SECONDS: u64 = 300;
/// Days that must have had a drain time, an age or a pause until there is a normal one.
pub const TIMES_DAYS_MIN: usize = 3;
/// What is beyond normal teaches no more than this multiple of normal.
pub const TIMES_TEACH_MAX: f64 = 1.5;
/// Times are told up to this: 30 days.
pub const TIMES_SECONDS_MAX: f64 = 30.0 * 86_400.0;

/// Seconds over which the rates that consumers must keep up with are averaged, older ones weighing exponentially less.
pub const DEMAND_AVERAGE_SECONDS: f64 = 60.0;
/// What comes in so many seconds is added to the work that is there: consumers that just keep up need this time.
pub const DEMAND_HORIZON_SECONDS: f64 = 60.0;
/// Blocks of two hours, the one under way included, in which it is remembered how fast a consumer was.
pub const DEMAND_BLOCKS: u64 = 4;
/// No longer time is told that consumers need: without consumers it would be infinite.
pub const DEMAND_SECONDS_MAX: f64 = 3600.0;

/// Seconds over which the rate of settlements is averaged, older ones weighing exponentially less.
pub const PACE_AVERAGE_SECONDS: f64 = 600.0;
/// Where the rate is not known, the fall of lag over this time is taken.
pub const FALL_SECONDS: u64 = 3600;

/// A queue grows when each day of a week is higher than the same day a week before by this ratio.
pub const GROWTH_WEEK_RATIO: f64 = 1.05;
/// Growth in the week before must be this share of the growth in the last one: a step is none.
pub const GROWTH_STEADY_SHARE: f64 = 0.5;
/// With two weeks only, growth must be so many times what could be chance.
pub const GROWTH_CERTAINTY: f64 = 6.0;
/// And days must be so many times nearer to a line, in squares, than to any step.
pub const GROWTH_STEP_RATIO: f64 = 1.5;
/// A queue with less lag at its lowest is as good as empty.
pub const GROWTH_MESSAGES_MIN: f64 = 10.0;
/// Nothing is concluded over a time in which nobody watched that is longer than this.
pub const UNWATCHED_SECONDS_MAX: u64 = 600;
/// How long growth is told after it was last seen.
pub const GROWTH_HOLD_SECONDS: u64 = 86_400;
