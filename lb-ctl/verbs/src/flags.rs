//! The model's options as flags of the command line: one for each row, with `-` for `_`.

use std::{fmt, marker::PhantomData};

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, error::ErrorKind};
use lb_model::{Options, Patch, ServerOptions, ServiceOptions, options::Row, packet_path};

/// Options that can be flags.
pub trait Flags: Options {
    /// The keys of those that the packet path does not act on: help does not list them.
    const UNUSED: &'static [&'static str];
}

impl Flags for ServiceOptions {
    const UNUSED: &'static [&'static str] = packet_path::UNUSED_SERVICE_OPTIONS;
}

impl Flags for ServerOptions {
    const UNUSED: &'static [&'static str] = packet_path::UNUSED_SERVER_OPTIONS;
}

/// Options of something new; those that are not given have their defaults.
pub struct Given<T>(pub T);

/// Options to be changed: at least one.
pub struct Changes<T> {
    /// Their values.
    pub set: Patch,
    of: PhantomData<T>,
}

impl<T: Flags> Args for Given<T> {
    fn augment_args(command: Command) -> Command {
        command.args(T::ROWS.iter().map(|row| flag(row).help(help_of_new(row))))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<T: Flags> FromArgMatches for Given<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Self(T::default());
        given.update_from_arg_matches(matches)?;
        Ok(given)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        patch::<T>(matches)
            .and_then(|patch| patch.put(&mut self.0))
            .map_err(|fault| clap::Error::raw(ErrorKind::ValueValidation, format!("{fault}\n")))
    }
}

impl<T: Flags> Args for Changes<T> {
    fn augment_args(command: Command) -> Command {
        command.args(
            T::ROWS
                .iter()
                .map(|row| flag(row).help(help_of_change(row))),
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<T: Flags> FromArgMatches for Changes<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let set = patch::<T>(matches)
            .map_err(|fault| clap::Error::raw(ErrorKind::ValueValidation, format!("{fault}\n")))?;
        if set.is_empty() {
            let flags: Vec<_> = usable::<T>()
                .map(|row| format!("--{}", word(row)))
                .collect();
            let message = format!(
                "nothing to change: give at least one of {}\n",
                flags.join(", ")
            );
            return Err(clap::Error::raw(
                ErrorKind::MissingRequiredArgument,
                message,
            ));
        }
        let of = PhantomData;
        Ok(Self { set, of })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<T: fmt::Debug> fmt::Debug for Given<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> fmt::Debug for Changes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.set.fmt(f)
    }
}

fn flag<T: Flags>(row: &'static Row<T>) -> Arg {
    Arg::new(row.key)
        .long(word(row))
        .value_name(row.hint)
        .hide(T::UNUSED.contains(&row.key))
        .value_parser(move |text: &str| {
            (row.set)(&mut T::default(), text).map(|()| text.to_owned())
        })
}

fn word<T>(row: &Row<T>) -> String {
    row.key.replace('_', "-")
}

fn usable<T: Flags>() -> impl Iterator<Item = &'static Row<T>> {
    T::ROWS.iter().filter(|row| !T::UNUSED.contains(&row.key))
}

fn patch<T: Options>(matches: &ArgMatches) -> Result<Patch, lb_model::Fault> {
    let mut patch = Patch::default();
    for row in T::ROWS {
        if let Some(text) = matches.get_one::<String>(row.key) {
            patch.word::<T>(row.key, text)?;
        }
    }
    Ok(patch)
}

/// `How it chooses a server: rr, wrr, lc, wlc [default: wlc]`
fn help_of_new<T: Options>(row: &Row<T>) -> String {
    let default = (row.text)(&T::default());
    if default.is_empty() {
        return help(row);
    }
    format!("{} [default: {default}]", help(row))
}

/// `A name for it; an empty value removes it`
fn help_of_change<T: Options>(row: &Row<T>) -> String {
    let can_be_none = (row.set)(&mut T::default(), "").is_ok();
    let away = if can_be_none {
        "; an empty value removes it"
    } else {
        ""
    };
    format!("{}{away}", help(row))
}

fn help<T>(row: &Row<T>) -> String {
    let words = (row.words)();
    if words.is_empty() {
        return row.help.to_owned();
    }
    format!("{}: {}", row.help, words.join(", "))
}
