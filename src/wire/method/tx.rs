//! Class tx (AMQP 0-9-1, 1.9): publishes and acknowledgements in one step.

use crate::method::definition::methods;

methods! { class 90 {
    /// Makes the channel transactional.
    TxSelect = 10 "tx.select" [] {} [];
    /// It is.
    TxSelectOk = 11 "tx.select-ok" [] {} [];
    /// Ends the transaction and keeps it.
    TxCommit = 20 "tx.commit" [] {} [];
    /// It is kept.
    TxCommitOk = 21 "tx.commit-ok" [] {} [];
    /// Ends the transaction and forgets it.
    TxRollback = 30 "tx.rollback" [] {} [];
    /// It is forgotten.
    TxRollbackOk = 31 "tx.rollback-ok" [] {} [];
} }
