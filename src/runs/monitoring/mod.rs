//! How runs are told to others: [`metrics`] for Prometheus, [`lineage`] as OpenLineage events.

pub mod lineage;
pub mod metrics;
