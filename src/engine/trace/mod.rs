//! The life of a message: who published it, whom it was delivered to, how each delivery ended, where it went
//! (`x-trace`). A queue that traces keeps the lives of its last messages, in memory alone. It knows nothing of
//! queues: they say what happens, and when.

mod happening;
mod life;
mod lives;

pub use happening::{Happening, ReturnCause};
pub use life::{Life, LifeEvent, LifeNumber};
pub(crate) use lives::Lives;
pub use lives::TracePage;
