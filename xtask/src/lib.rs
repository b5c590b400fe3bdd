//! The project's verbs, as a library.
