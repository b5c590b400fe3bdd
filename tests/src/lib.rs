//! Namespace labs, packet builder, end-to-end scenarios.
