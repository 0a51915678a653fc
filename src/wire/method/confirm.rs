//! Class confirm: RabbitMQ's publisher confirms.

use crate::method::definition::methods;

methods! { class 85 {
    /// Asks for a confirm of every publish on the channel.
    ConfirmSelect = 10 "confirm.select" [] {
        /// The client waits for no answer.
        no_wait: bool,
    } [];
    /// Confirms will come.
    ConfirmSelectOk = 11 "confirm.select-ok" [] {} [];
} }
