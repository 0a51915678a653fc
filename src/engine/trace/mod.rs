//! What happened to messages: to people as their lives (`x-trace`), which a queue keeps of its last messages in
//! memory alone; to a tracing system as spans of the traces that their publishers record. It knows nothing of
//! queues: they say what happens, and when.

mod happening;
mod life;
mod lives;
mod message_span;
mod queue_spans;
mod trace_parent;

pub use happening::{Happening, ReturnCause};
pub use life::{Life, LifeEvent, LifeNumber};
pub(crate) use lives::Lives;
pub use lives::TracePage;
pub(crate) use message_span::SpannedMessage;
pub use message_span::{MessageSpan, Spanned};
pub(crate) use queue_spans::QueueSpans;
