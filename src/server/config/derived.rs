//! What parts of a broker go by, made from its settings and its memory.

use crate::config::product::CLUSTER_NAME;
use crate::config::settings::Settings;
use crate::connection::connection_limits::ConnectionLimits;
use crate::system::alarms::AlarmLimits;
use crate::system::memory_budgets::MemoryBudgets;
use crate::system::open_files;
use forebay_engine::connection::{ConnectionSettings, Identity};

/// Connections that there may be. Those without a login can't take all places that there are.
pub(crate) fn connection_limits(settings: &Settings) -> ConnectionLimits {
    let max = open_files::connections_max();
    let authenticated_max = max.saturating_sub(open_files::login_places().total_max).max(1);
    ConnectionLimits::new(settings.connections_per_address_max, authenticated_max)
}

pub(crate) fn connection_settings(
    settings: &Settings,
    budgets: &MemoryBudgets,
) -> ConnectionSettings {
    ConnectionSettings {
        message_size_max: settings.message_size_max,
        unfinished_size_max: budgets.unfinished.max(settings.message_size_max as usize),
        heartbeat_s: settings.heartbeat,
        silence_s_max: settings.idle_timeout,
        ..ConnectionSettings::new(&identity(settings))
    }
}

fn identity(settings: &Settings) -> Identity {
    Identity {
        product: settings.product.name.clone(),
        version: settings.product.version.clone(),
        platform: "Rust".to_owned(),
        cluster_name: CLUSTER_NAME.to_owned(),
        information: "Licensed under MIT or Apache-2.0".to_owned(),
    }
}

pub(crate) fn alarm_limits(settings: &Settings, budgets: &MemoryBudgets) -> AlarmLimits {
    AlarmLimits {
        disk_free_min: settings.disk_free_limit,
        memory_max: settings.memory_high_watermark.of(budgets.all),
    }
}
