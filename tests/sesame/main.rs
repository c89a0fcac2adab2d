//! Behaviour of the program through its binary, and of its kernels against independent second implementations.
//! `tests/README.md` names what each file guards.

mod broken;
mod cli;
mod determinism;
mod exports;
mod oracle;
mod properties;
mod real_data;
mod run;
mod workdir;
